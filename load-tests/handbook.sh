#!/usr/bin/env bash
# The features of a public fraud data set, computed by weir over 1,236,698 payments and compared with
# those that its authors computed: counts to the last one, means and shares to rounding.
#
#   load-tests/handbook.sh [DATA_SETS]       default ../shared/data
#   load-tests/handbook.sh --self-test       tries the comparison itself, without weir
#   HANDBOOK_ROWS=20000 load-tests/handbook.sh
exec "$(dirname "$0")/handbook.py" "$@"
