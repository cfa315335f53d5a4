#!/usr/bin/env bash
# Installs what the tests need into a virtual environment of its own, then
# checks style, types and manifest, and runs the tests: those of the plugin
# with PySide6 and with PyQt6, then all others. Arguments go to the last run.
set -euo pipefail
cd "$(dirname "$0")/.."

bash scripts/display-libraries.sh

python=${PYTHON:-python3}
environment=${VENV:-.venv-test}
[ -x "$environment/bin/python" ] || "$python" -m venv "$environment"
bin=$environment/bin
"$bin/python" -m pip install --quiet --upgrade pip
"$bin/python" -m pip install --quiet --editable '.[all,docs,pyside6,test]'

"$bin/ruff" check
"$bin/ruff" format --check
"$bin/mypy"
find src -name '*.py' -exec "$bin/numpydoc" lint {} +
"$bin/npe2" validate napari-samnet --imports

# The tests bring their own screen; a real one would only flicker.
unset DISPLAY WAYLAND_DISPLAY
for binding in pyside6 pyqt6; do
  QT_API=$binding PYTEST_QT_API=$binding \
    "$bin/python" -m pytest -q tests/plugin
done
# In a process of their own: software OpenGL and torch's compiler each bring
# an LLVM, and the second one to be loaded crashes.
QT_API=pyqt6 PYTEST_QT_API=pyqt6 \
  exec "$bin/python" -m pytest -q --ignore=tests/plugin "$@"
