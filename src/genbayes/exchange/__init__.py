"""What comes from other packages, and goes to them: draws to ArviZ, runs and priors of sbi, PEtab problems."""
