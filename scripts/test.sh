#!/usr/bin/env bash
# Installs what the tests need into a virtual environment of its own, then
# checks style, types and manifest, and runs the tests: those of the plugin
# with PySide6, then all of them with PyQt6. Arguments go to the last run.
set -euo pipefail
cd "$(dirname "$0")/.."

bash scripts/display-libraries.sh

python=${PYTHON:-python3}
environment=${VENV:-.venv-test}
[ -x "$environment/bin/python" ] || "$python" -m venv "$environment"
bin=$environment/bin
"$bin/python" -m pip install --quiet --upgrade pip
"$bin/python" -m pip install --quiet --editable '.[all,pyside6,test]'

"$bin/ruff" check
"$bin/ruff" format --check
"$bin/mypy"
find src -name '*.py' -exec "$bin/numpydoc" lint {} +
"$bin/npe2" validate napari-samnet --imports

# The tests bring their own screen; a real one would only flicker.
unset DISPLAY WAYLAND_DISPLAY
QT_API=pyside6 PYTEST_QT_API=pyside6 "$bin/python" -m pytest -q tests/plugin
QT_API=pyqt6 PYTEST_QT_API=pyqt6 exec "$bin/python" -m pytest "$@"
