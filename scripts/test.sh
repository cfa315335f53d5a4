#!/usr/bin/env bash
# Installs what the tests need into a virtual environment of its own, then
# checks style, types and manifest, and runs the tests: those of the plugin
# with PyQt6, most of them with PySide6 too, then all others. Arguments go to
# the last run.
set -euo pipefail
cd "$(dirname "$0")/.."

free_gb() {
  df -Pk "$1" 2>/dev/null | awk 'NR == 2 { print int($4 / 1024 / 1024) }'
}

bash scripts/display-libraries.sh

python=${PYTHON:-python3}
environment=${VENV:-.venv-test}
# Torch for Linux brings CUDA along, so that all of it takes 10 GB on disk.
needed_gb=12
if [ ! -x "$environment/bin/python" ] && [ -z "${VENV:-}" ] &&
  [ "$(free_gb .)" -lt $needed_gb ]; then
  for folder in "${TMPDIR:-/tmp}" /var/tmp /dev/shm; do
    [ -w "$folder" ] || continue
    if [ "$(free_gb "$folder")" -ge $needed_gb ]; then
      TMPDIR=$(mktemp -d "$folder/napari-samnet.XXXXXX")
      export TMPDIR
      # Some tests run as another user.
      chmod 755 "$TMPDIR"
      trap 'rm -rf "$TMPDIR"' EXIT
      environment=$TMPDIR/venv
      break
    fi
  done
  if [ "$environment" = .venv-test ]; then
    echo "The tests need $needed_gb GB on disk, and there are" \
      "$(free_gb .) GB here. Give a roomier folder as VENV and TMPDIR." >&2
    exit 1
  fi
  echo "$(free_gb .) GB free here: the tests' environment goes to" \
    "$environment until they end." >&2
fi
[ -x "$environment/bin/python" ] || "$python" -m venv "$environment"
bin=$environment/bin
"$bin/python" -m pip install --quiet --upgrade pip
"$bin/python" -m pip install --quiet --no-cache-dir \
  --editable '.[all,docs,pyside6,test]'

"$bin/ruff" check
"$bin/ruff" format --check
"$bin/mypy"
"$bin/lint-imports"
find src -name '*.py' -exec "$bin/numpydoc" lint {} +
"$bin/npe2" validate napari-samnet --imports

# The tests bring their own screen; a real one would only flicker.
unset DISPLAY WAYLAND_DISPLAY
# A process of one thread for each core, at most four of them: each holds the
# networks. The tests of a file stay together, since they share matches.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
# One that crashes ends the run: after a restart it may never end.
side_by_side=(-n logical --maxprocesses 4 --dist loadfile --max-worker-restart 0)
QT_API=pyqt6 PYTEST_QT_API=pyqt6 \
  "$bin/python" -m pytest -q "${side_by_side[@]}" tests/plugin
# With the other binding all that is quick, and what opens a window or may
# differ. Long series, files, and the code of the pages do not.
QT_API=pyside6 PYTEST_QT_API=pyside6 \
  "$bin/python" -m pytest -q "${side_by_side[@]}" tests/plugin \
  -m 'gui or binding or not slow' \
  --ignore=tests/plugin/contributions/test_pages.py \
  --ignore=tests/plugin/contributions/test_gallery.py
# In a process of their own: software OpenGL and torch's compiler each bring
# an LLVM, and the second one to be loaded crashes.
QT_API=pyqt6 PYTEST_QT_API=pyqt6 \
  "$bin/python" -m pytest -q "${side_by_side[@]}" --ignore=tests/plugin "$@"
