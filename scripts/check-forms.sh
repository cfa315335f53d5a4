#!/usr/bin/env bash
# Checks the forms and workflows of the repository, and its citation, against
# their published schemas, which come with check-jsonschema.
set -euo pipefail
cd "$(dirname "$0")/.."

check() { "${PYTHON:-python}" -m check_jsonschema "$@"; }

check --builtin-schema vendor.github-workflows .github/workflows/*.yml
check --builtin-schema vendor.github-issue-forms \
  $(ls .github/ISSUE_TEMPLATE/*.yml | grep -v config.yml)
check --builtin-schema vendor.github-issue-config \
  .github/ISSUE_TEMPLATE/config.yml
check --builtin-schema vendor.dependabot .github/dependabot.yml
check --builtin-schema vendor.citation-file-format CITATION.cff
