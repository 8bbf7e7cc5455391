# Makes concentrations.csv: three patients after 100 mg by mouth, by a model with two compartments and a lag, read with
# 10 % of error at hours of their own. Run: awk -f made.awk > concentrations.csv
function normal() { return sqrt(-2 * log(1 - rand())) * cos(6.283185307 * rand()) }
BEGIN {
  srand(11)
  print "patient;hour;concentration [mg/l]"
  n = split("anna ben clara", names, " ")
  split("4.2 6.1 2.9", clearance, " "); split("32 41 28", volume, " "); split("1.1 0.8 1.5", uptake, " ")
  hours["anna"] = " 0.5 1 2 4 8 12 24 "; hours["ben"] = " 0.5 1 2 4 8 24 "; hours["clara"] = " 1 2 4 8 12 24 "
  for (i = 1; i <= n; i++) {
    gut = 100; blood = 0; tissue = 0; dt = 0.01
    for (step = 1; step <= 2400; step++) {
      t = step * dt
      if (t > 0.1) { move = uptake[i] * gut * dt; gut -= move; blood += move }
      exchange = (0.15 * blood - 0.3 * tissue) * dt
      blood -= exchange + clearance[i] / volume[i] * blood * dt; tissue += exchange
      if (index(hours[names[i]], " " t " ")) {
        row = names[i] ";" t ";" sprintf("%.2f", blood / volume[i] * (1 + 0.1 * normal()))
        gsub(/\./, ",", row); print row
      }
    }
  }
}
