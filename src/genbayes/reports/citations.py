"""BibTeX of exactly what a run used: the method, its sampler, its distance, its diagnostics, its software."""

import re

from ..runtime.release import version
from ..sampling.draws import Draws
from ..sampling.posterior import GibbsPosterior
from ..sampling.sampler import samplers

ENTRIES: dict[str, str] = {
    "gao2023ace": """@inproceedings{gao2023ace,
  title     = {Generalized {B}ayesian Inference for Scientific Simulators via Amortized Cost Estimation},
  author    = {Gao, Richard and Deistler, Michael and Macke, Jakob H.},
  booktitle = {Advances in Neural Information Processing Systems},
  volume    = {36},
  year      = {2023},
  note      = {arXiv:2305.15208}
}""",
    "bissiri2016general": """@article{bissiri2016general,
  title   = {A general framework for updating belief distributions},
  author  = {Bissiri, Pier Giovanni and Holmes, Chris C. and Walker, Stephen G.},
  journal = {Journal of the Royal Statistical Society: Series B (Statistical Methodology)},
  volume  = {78},
  number  = {5},
  pages   = {1103--1130},
  year    = {2016},
  doi     = {10.1111/rssb.12158}
}""",
    "delmoral2006smc": """@article{delmoral2006smc,
  title   = {Sequential {M}onte {C}arlo samplers},
  author  = {Del Moral, Pierre and Doucet, Arnaud and Jasra, Ajay},
  journal = {Journal of the Royal Statistical Society: Series B (Statistical Methodology)},
  volume  = {68},
  number  = {3},
  pages   = {411--436},
  year    = {2006},
  doi     = {10.1111/j.1467-9868.2006.00553.x}
}""",
    "neal2011hmc": """@incollection{neal2011hmc,
  title     = {{MCMC} Using {H}amiltonian Dynamics},
  author    = {Neal, Radford M.},
  booktitle = {Handbook of {M}arkov Chain {M}onte {C}arlo},
  editor    = {Brooks, Steve and Gelman, Andrew and Jones, Galin L. and Meng, Xiao-Li},
  publisher = {Chapman and Hall/CRC},
  pages     = {113--162},
  year      = {2011}
}""",
    "hoffman2014nuts": """@article{hoffman2014nuts,
  title   = {The No-{U}-Turn Sampler: Adaptively Setting Path Lengths in {H}amiltonian {M}onte {C}arlo},
  author  = {Hoffman, Matthew D. and Gelman, Andrew},
  journal = {Journal of Machine Learning Research},
  volume  = {15},
  number  = {47},
  pages   = {1593--1623},
  year    = {2014}
}""",
    "vehtari2021rhat": r"""@article{vehtari2021rhat,
  title   = {Rank-Normalization, Folding, and Localization: An Improved {$\widehat{R}$} for Assessing Convergence
             of {MCMC} (with Discussion)},
  author  = {Vehtari, Aki and Gelman, Andrew and Simpson, Daniel and Carpenter, Bob and B{\"u}rkner, Paul-Christian},
  journal = {Bayesian Analysis},
  volume  = {16},
  number  = {2},
  pages   = {667--718},
  year    = {2021},
  doi     = {10.1214/20-BA1221}
}""",
    "gretton2012kernel": r"""@article{gretton2012kernel,
  title   = {A Kernel Two-Sample Test},
  author  = {Gretton, Arthur and Borgwardt, Karsten M. and Rasch, Malte J. and Sch{\"o}lkopf, Bernhard
             and Smola, Alexander},
  journal = {Journal of Machine Learning Research},
  volume  = {13},
  number  = {25},
  pages   = {723--773},
  year    = {2012}
}""",
    "gneiting2007scoring": """@article{gneiting2007scoring,
  title   = {Strictly Proper Scoring Rules, Prediction, and Estimation},
  author  = {Gneiting, Tilmann and Raftery, Adrian E.},
  journal = {Journal of the American Statistical Association},
  volume  = {102},
  number  = {477},
  pages   = {359--378},
  year    = {2007},
  doi     = {10.1198/016214506000001437}
}""",
    "szekely2013energy": r"""@article{szekely2013energy,
  title   = {Energy statistics: A class of statistics based on distances},
  author  = {Sz{\'e}kely, G{\'a}bor J. and Rizzo, Maria L.},
  journal = {Journal of Statistical Planning and Inference},
  volume  = {143},
  number  = {8},
  pages   = {1249--1272},
  year    = {2013},
  doi     = {10.1016/j.jspi.2013.03.018}
}""",
    "bonneel2015sliced": r"""@article{bonneel2015sliced,
  title   = {Sliced and {R}adon {W}asserstein Barycenters of Measures},
  author  = {Bonneel, Nicolas and Rabin, Julien and Peyr{\'e}, Gabriel and Pfister, Hanspeter},
  journal = {Journal of Mathematical Imaging and Vision},
  volume  = {51},
  number  = {1},
  pages   = {22--45},
  year    = {2015},
  doi     = {10.1007/s10851-014-0506-3}
}""",
    "jax2018github": """@software{jax2018github,
  title   = {{JAX}: composable transformations of {P}ython+{N}um{P}y programs},
  author  = {Bradbury, James and Frostig, Roy and Hawkins, Peter and Johnson, Matthew James and Leary, Chris
             and Maclaurin, Dougal and Necula, George and Paszke, Adam and Vander{P}las, Jake
             and Wanderman-{M}ilne, Skye and Zhang, Qiao},
  url     = {http://github.com/jax-ml/jax},
  version = {@jax@},
  year    = {2018}
}""",
    "kidger2021equinox": """@article{kidger2021equinox,
  title   = {{E}quinox: neural networks in {JAX} via callable {P}y{T}rees and filtered transformations},
  author  = {Kidger, Patrick and Garcia, Cristian},
  journal = {Differentiable Programming workshop at Neural Information Processing Systems 2021},
  year    = {2021},
  note    = {version @equinox@}
}""",
    "cabezas2024blackjax": r"""@misc{cabezas2024blackjax,
  title  = {{B}lack{JAX}: Composable {B}ayesian inference in {JAX}},
  author = {Cabezas, Alberto and Corenflos, Adrien and Lao, Junpeng and Louf, R{\'e}mi},
  year   = {2024},
  note   = {arXiv:2402.10797; version @blackjax@}
}""",
    "phan2019numpyro": """@article{phan2019numpyro,
  title   = {Composable Effects for Flexible and Accelerated Probabilistic Programming in {N}um{P}yro},
  author  = {Phan, Du and Pradhan, Neeraj and Jankowiak, Martin},
  journal = {arXiv preprint arXiv:1912.11554},
  year    = {2019},
  note    = {version @numpyro@}
}""",
}

ALWAYS = ("gao2023ace", "bissiri2016general")


def bibtex(posterior: GibbsPosterior, draws: Draws) -> str:
    """Returns the BibTeX entries of what this run used, and of nothing else.

    A sampler or distance tells its sources by the class attribute `citations`: keys of the entries of this module, or
    whole BibTeX entries. Software entries name the installed version.

    Args:
        posterior: The `GibbsPosterior` that was sampled.
        draws: Its `Draws`.

    Returns:
        BibTeX text: the entries separated by blank lines.

    Example:
        >>> with open("references.bib", "w") as file:
        ...     file.write(bibtex(posterior, draws))
    """
    sampler = samplers().get(draws.sampler.lower())
    sources = [*ALWAYS, *(() if sampler is None else sampler.citations), *posterior.cost.distance.citations]
    sources += ["vehtari2021rhat", "jax2018github", "kidger2021equinox", "phan2019numpyro"]
    text = "\n\n".join(ENTRIES.get(source, source) for source in dict.fromkeys(sources))
    return re.sub(r"@(jax|equinox|blackjax|numpyro)@", lambda match: version(match[1]), text) + "\n"
