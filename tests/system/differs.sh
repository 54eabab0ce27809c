#!/bin/sh
# differs: a thirteenth of the differential test (make check-diff)
# timeout: 400
exec tests/compat/diff/run.sh --part "${PART:-1}/13"
