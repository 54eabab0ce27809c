#!/bin/sh
# hardening-config: malformed configurations (D17): each refused by create with its place, nothing made
# timeout: 180
. tests/lib.sh
mkdir "$T/cases"
KAPSEL_BAD_CASES="$T/cases" "$BIN/../tests/unit/spec/test_bad" >"$T/o" 2>&1 || : # it is judged elsewhere
bundle any true
cp "$T/any/config.json" "$T/good.json"
ok "each malformed configuration is refused, and nothing is made" \
	timeout 170 python3 tests/system/hardening-config.py "$T/cases" "$T/any" "$T/oci" "$T/run/c" "$CG"
cat "$T/ok.out"
is "and kapseld knows of no container" "$(kapsel list --all -q)" ""
# The same bundle with a good one is made: it was the configuration.
cp "$T/good.json" "$T/any/config.json"
ok "a good one is made" kapsel create --id m1 "$T/any"
