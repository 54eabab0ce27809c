#!/bin/sh
# matrix: each setting of a default configuration changed in turn; a probe inside finds what was asked
# timeout: 300
. tests/lib.sh
bundle base 'true'
python3 tests/system/matrix.py "$T/base" "$CG" || failed=1
