#!/usr/bin/env bash
# Turns the partition of one day into an idempotent SQL script: stage_purchases.sh DATE OUTPUT
set -euo pipefail
date=$1 output=$2
mkdir -p "$(dirname "$output")" data
{
  cat jobs/tables.sql
  echo "DELETE FROM purchases WHERE data_date = '$date';"
  # userid,quantity,amount -- amounts become whole cents, so that sums are exact
  awk -F, -v date="$date" '
    { cents = sprintf("%.0f", $3 * 100)
      rows[++n] = "(\047" date "\047," NR "," $1 + 0 "," $2 + 0 "," cents ")"
      if (n == 500) flush() }
    function flush(   i, text) {
      if (n == 0) return
      for (i = 1; i <= n; i++) text = text (i > 1 ? ",\n" : "") rows[i]
      print "INSERT INTO purchases (data_date, line, userid, quantity, amount_cents) VALUES\n" text ";"
      n = 0 }
    END { flush() }' "data/incoming/$date.csv"
} > "$output.new"
mv "$output.new" "$output"
