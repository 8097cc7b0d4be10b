#!/usr/bin/env bash
# Writes tests/data/plans: what the models of plan_text_test are planned as.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

readonly test=build/bin/plan_text_test
[[ -x $test ]] || die "$test: not built; run make build"
mkdir -p tests/data/plans
MW_WRITE_PLANS=1 MW_TEST_DATA=tests/data MW_EXAMPLES=examples MW_SHARED=../shared "$test" --gtest_brief=1
git --no-pager diff --stat -- tests/data/plans
