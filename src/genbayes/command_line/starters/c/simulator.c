/* A population that grows until its food is used up. Put a model of your own in its place.
   The program gets the parameters and a seed, and prints as many numbers as observed.csv has rows.
   gcc -O2 -o simulator simulator.c -lm */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define DAYS 21

/* A standard normal number (Box and Muller 1958). */
static double normal(void) {
  double radius = sqrt(-2 * log(1 - drand48()));
  return radius * cos(2 * acos(-1) * drand48());
}

int main(int argc, char **argv) {
  if (argc != 5) {
    fprintf(stderr, "usage: %s GROWTH CAPACITY START SEED\n", argv[0]);
    return 2;
  }
  double growth = atof(argv[1]), capacity = atof(argv[2]), number = atof(argv[3]);
  /* All random numbers follow from the seed: the same seed gives the same run. */
  srand48(atol(argv[4]));
  for (int day = 0; day < DAYS; day++) {
    /* Counts are some 10 % off. */
    printf("%.9g\n", number * exp(0.1 * normal()));
    number += growth * number * (1 - number / capacity);
  }
  return 0;
}
