"""One truth about what is needed, told alike in every file that says it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from rattler_build import Stage0Recipe, VariantConfig

ROOT = Path(__file__).parents[2]

PROJECT: dict[str, Any] = tomllib.loads(
    (ROOT / 'pyproject.toml').read_text(encoding='utf-8')
)['project']

#: What conda-forge calls some packages.
CONDA = {'torch': 'pytorch'}


def bounds(requirements: list[str]) -> dict[str, Version]:
    """Lower bound of each requirement that has one."""
    found = {}
    for text in requirements:
        requirement = Requirement(text)
        for part in requirement.specifier:
            if part.operator == '>=':
                found[requirement.name] = Version(part.version)
    return found


def oldest() -> dict[str, SpecifierSet]:
    """What the environment of the oldest versions asks for."""
    text = (ROOT / 'requirements' / 'oldest.txt').read_text(encoding='utf-8')
    lines = [
        Requirement(line)
        for line in text.splitlines()
        if line and not line.startswith('#')
    ]
    return {line.name: line.specifier for line in lines}


@pytest.fixture
def recipe() -> Any:
    """As the conda tool reads it."""
    path = ROOT / 'recipe' / 'recipe.yaml'
    (variant,) = Stage0Recipe.from_file(path).render(VariantConfig())
    return variant.recipe.to_dict()


@pytest.fixture
def classified() -> set[str]:
    """The Pythons that the package index shows."""
    text = '\n'.join(PROJECT['classifiers'])
    return set(re.findall(r'Python :: (3\.\d+)', text))


class TestOldest:
    @pytest.mark.parametrize('name', bounds(PROJECT['dependencies']))
    def test_bound_is_what_is_tested(self, name: str) -> None:
        bound = bounds(PROJECT['dependencies'])[name]
        assert bound in oldest()[name]

    @pytest.mark.parametrize(
        'extra',
        [
            'batch',
            'bench',
            'dicom',
            'formats',
            'heic',
            'openvino',
            'pyqt6',
            'pyside6',
            'volumes',
        ],
    )
    def test_bound_of_an_extra_is_what_is_tested(self, extra: str) -> None:
        found = bounds(PROJECT['optional-dependencies'][extra])
        assert found
        for name, bound in found.items():
            assert bound in oldest()[name]

    def test_every_dependency_has_a_lower_and_no_upper_bound(self) -> None:
        for text in PROJECT['dependencies']:
            operators = [part.operator for part in Requirement(text).specifier]
            assert operators == ['>='], text

    def test_all_are_pinned(self) -> None:
        for name, specifier in oldest().items():
            (part,) = specifier
            assert part.operator == '==', name


class TestRecipe:
    def test_needs_the_same(self, recipe: Any) -> None:
        run = set(recipe['requirements']['run'])
        expected = {
            f'python {PROJECT["requires-python"]}',
            *(
                f'{CONDA.get(found.name, found.name)} {found.specifier}'
                for found in map(Requirement, PROJECT['dependencies'])
            ),
        }
        assert run == expected

    def test_napari_has_the_same_bound(self, recipe: Any) -> None:
        found = bounds(PROJECT['optional-dependencies']['pyqt6'])
        (napari,) = recipe['requirements']['run_constraints']
        assert napari == f'napari >={found["napari"]}'

    def test_is_built_with_the_same(self, recipe: Any) -> None:
        build = tomllib.loads(
            (ROOT / 'pyproject.toml').read_text(encoding='utf-8')
        )['build-system']['requires']
        host = set(recipe['requirements']['host']) - {'pip', 'python 3.11.*'}
        asked = [Requirement(text) for text in build]
        assert host == {f'{found.name} {found.specifier}' for found in asked}

    def test_says_the_same(self, recipe: Any) -> None:
        about = recipe['about']
        assert about['summary'] == PROJECT['description']
        assert about['license'] == PROJECT['license']
        assert about['homepage'] == PROJECT['urls']['Homepage']
        (command,) = recipe['build']['python']['entry_points']
        name, function = command.split(' = ')
        assert PROJECT['scripts'] == {name: function}


class TestPythons:
    """Classifiers, tox and the workflow name the same Pythons."""

    def test_lowest_is_required(self, classified: set[str]) -> None:
        lowest = min(classified, key=Version)
        assert PROJECT['requires-python'] == f'>={lowest}'

    def test_tox(self, classified: set[str]) -> None:
        text = (ROOT / 'tox.ini').read_text(encoding='utf-8')
        (group,) = set(re.findall(r'py\{([\d,]+)\}-', text))
        assert {f'3.{name[1:]}' for name in group.split(',')} == classified

    def test_workflow(self, classified: set[str]) -> None:
        path = ROOT / '.github' / 'workflows' / 'test.yml'
        if not path.is_file():
            pytest.skip('not in the source archive')
        workflow = yaml.safe_load(path.read_text(encoding='utf-8'))
        matrix = workflow['jobs']['matrix']['strategy']['matrix']
        assert set(matrix['python']) == classified
        assert set(matrix['qt']) == {'pyqt6', 'pyside6'}

    def test_every_environment_that_the_workflow_runs_is_there(self) -> None:
        path = ROOT / '.github' / 'workflows' / 'test.yml'
        if not path.is_file():
            pytest.skip('not in the source archive')
        jobs = yaml.safe_load(path.read_text(encoding='utf-8'))['jobs']
        tox = (ROOT / 'tox.ini').read_text(encoding='utf-8')
        run = {
            name: step['run']
            for name, job in jobs.items()
            for step in job['steps']
            if 'tox run' in step.get('run', '')
        }
        assert 'py311-${QT}-oldest' in run['oldest']
        assert 'py311-{pyqt6,pyside6}-oldest' in tox
        assert 'napari-dev-${QT}' in run['napari-dev']
        assert '[testenv:napari-dev-{pyqt6,pyside6}]' in tox
        assert 'schedule' in jobs['napari-dev']['if']
