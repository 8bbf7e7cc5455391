/* A stochastic epidemic in a town: reported cases a day for ten weeks. See problem.toml.

   cc -O2 -o epidemic epidemic.c -lm
   ./epidemic TRANSMISSION DAYS REPORTED SEED FILE.csv */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { PEOPLE = 3000, FIRST_INFECTED = 10, LENGTH = 70 };

static uint64_t state;

/* Uniform on [0, 1): SplitMix64 (Steele, Lea and Flood 2014), all of whose seeds are good. */
static double uniform(void) {
  uint64_t z = (state += 0x9e3779b97f4a7c15ull);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return ((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

/* How many of n things happen, each with probability p. */
static int happen(int n, double p) {
  int count = 0;
  for (int i = 0; i < n; i++) count += uniform() < p;
  return count;
}

/* A number from the command line, all of which must be one. */
static double number(const char *text, const char *name) {
  char *end;
  double value = strtod(text, &end);
  if (end == text || *end || !(value >= 0)) {
    fprintf(stderr, "%s must be a number of at least 0, got '%s'\n", name, text);
    exit(2);
  }
  return value;
}

int main(int argc, char **argv) {
  if (argc != 6) {
    fprintf(stderr, "usage: %s TRANSMISSION DAYS REPORTED SEED FILE.csv\n", argv[0]);
    return 2;
  }
  double transmission = number(argv[1], "TRANSMISSION"), days = number(argv[2], "DAYS");
  double reported = number(argv[3], "REPORTED");
  state = strtoull(argv[4], NULL, 10);
  FILE *file = fopen(argv[5], "w");
  if (!file) {
    perror(argv[5]);
    return 1;
  }
  int susceptible = PEOPLE - FIRST_INFECTED, infected = FIRST_INFECTED;
  fprintf(file, "day,cases\n");
  for (int day = 1; day <= LENGTH; day++) {
    int falling_ill = happen(susceptible, 1 - exp(-transmission * infected / PEOPLE));
    int recovering = happen(infected, 1 - exp(-1 / days));
    susceptible -= falling_ill;
    infected += falling_ill - recovering;
    fprintf(file, "%d,%d\n", day, happen(falling_ill, reported));
  }
  return fclose(file) != 0;
}
