# A line of JSON such as {"rate": 0.5, "delay": 0.25, "dose": 2.5, "seed": 17} -> rate, delay, dose or 0, and a standard
# normal number.
{
    fields = split($0, part, /[:,}]/)
    if (part[2] < 0.2) {
        print "rate too low" > "/dev/stderr"
        exit 3
    }
    srand(part[fields - 1] + 0)
    noise = sqrt(-2 * log(1 - rand())) * cos(6.283185307179586 * rand())
    dose = (fields > 7) ? part[6] : 0
    printf "%.17g %.17g %.17g %.17g\n", part[2], part[4], dose, noise
}
