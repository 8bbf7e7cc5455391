# Makes measured.csv: a catchment that is not the model's (two stores, drizzle that is not recorded), a gauge that is
# read to two digits with 8 % of error, three days without a reading. Run: awk -f measured.awk > measured.csv
function normal() { return sqrt(-2 * log(1 - rand())) * cos(6.283185307 * rand()) }
BEGIN {
  srand(7)
  split("31 28 31 30", days, " ")
  print "date,rain,discharge"
  print ",[mm/day],[mm/day]"
  quick = 1; slow = 20
  for (month = 1; month <= 4; month++) for (day = 1; day <= days[month]; day++) {
    rain = rand() < 0.3 ? -8 * log(1 - rand()) : 0
    quick += 0.25 * (rain + 0.2); slow += 0.45 * (rain + 0.2) - 0.6
    if (slow < 0) slow = 0
    out = quick / 2 + slow / 18
    quick -= quick / 2; slow -= slow / 18
    number++
    read = number == 33 || number == 34 || number == 90 ? "" : sprintf("%.2f", out * (1 + 0.08 * normal()))
    printf "2021-%02d-%02d,%.1f,%s\n", month, day, rain, read
  }
}
