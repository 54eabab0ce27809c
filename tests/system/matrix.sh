#!/bin/sh
# matrix: each setting of a default configuration changed in turn; a probe inside finds what was asked
# timeout: 300
. tests/lib.sh
bundle base0 'true'
bundle base1 'true'
python3 tests/system/matrix.py "$T/base1" "$CG" 1/2 >"$T/other" 2>&1 &
other=$!
python3 tests/system/matrix.py "$T/base0" "$CG" 0/2 || failed=1
wait $other || failed=1
cat "$T/other"
