"""What each module may import: the layers of docs/architecture.md."""

import ast
import sys
from pathlib import Path

import pytest

import tied_augment

PACKAGE = Path(tied_augment.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

# What a module, or every module of a package, may import when it is imported itself. The standard
# library and its own package are always allowed. '.' is the top of this package, '.view' a part of
# it. If several rows fit a module, the longest name counts. A new module is added here, below what
# it must not know.
WHEN_IMPORTED = {
    "tied_augment": "numpy ._core .geometry .lazy .packed .plans .presets .sources .two_view "
    ".views",
    "tied_augment.lazy": "",
    "tied_augment.__main__": ".cli",
    "tied_augment.arguments": "",
    "tied_augment.endings": "",
    "tied_augment.exits": "",
    "tied_augment.loaded": "",
    "tied_augment.skips": "",
    "tied_augment.items": "numpy ._core .columns .loaded .named .packed .remote .splits",
    "tied_augment.named": "",
    "tied_augment.dicts": "",
    "tied_augment.columns": ".dicts .loaded",
    "tied_augment.streams": "torch .dicts .ranks",
    "tied_augment.huggingface": "numpy pyarrow .streams",
    "tied_augment.webdataset_stream": "webdataset .endings .loaded .named .ranks .streams",
    "tied_augment.splits": "",
    "tied_augment.view_from_timm": "",
    "tied_augment.pipeline": "numpy ._core .arguments .exits",
    "tied_augment.view_fields": ".arguments",
    "tied_augment.view": "numpy ._core .arguments .pipeline .view_fields .view_from_timm",
    "tied_augment.views": "numpy ._core .arguments .pipeline .view",
    "tied_augment.two_view": "._core .arguments .exits .pipeline .view .views",
    "tied_augment.presets": ".arguments .two_view .view .views",
    "tied_augment.sheet": "numpy PIL",
    "tied_augment.plans": "._core .arguments .exits .pipeline",
    "tied_augment.geometry": "numpy ._core .arguments .exits .pipeline .plans",
    "tied_augment.packed": "numpy ._core .arguments .endings .exits .remote .splits",
    "tied_augment.sources": "numpy .loaded",
    "tied_augment.located": "numpy ._core .loaded .sources",
    "tied_augment.ranks": "torch .arguments .loaded",
    "tied_augment.dataset": "numpy torch .arguments .items .skips .sources .view .views",
    "tied_augment.shards": "numpy torch .arguments .endings .named .ranks .remote .shard_cache "
    ".webdataset",
    "tied_augment.webdataset": ".named .remote .shard_cache",
    "tied_augment.remote": ".shard_cache",
    "tied_augment.shard_cache": ".arguments",
    "tied_augment.ray": "numpy ray ._core .arguments .view .views",
    "tied_augment.tap": "torch .arguments .tracing",
    "tied_augment.normalize": "torch .arguments .view_from_timm",
    "tied_augment.model": "torch .arguments .normalize .tap",
    "tied_augment.tracing": "torch",
    "tied_augment.similarity": "torch .arguments",
    "tied_augment.fused": "numpy ._core .arguments .exits .lazy",
    "tied_augment.fused.function": "torch .exits .similarity .tracing",
    "tied_augment.loss": "numpy torch .arguments .fused .similarity .tracing",
    "tied_augment.loader": "numpy torch ._core .arguments .dataset .exits .items .located .ranks "
    ".skips .sources .pipeline .view .view_from_timm .views",
    "tied_augment.logging": "numpy torch .arguments .dataset .items .loader .loss .sources "
    ".two_view",
    "tied_augment.timm": "numpy torch timm .arguments .dataset .loader .located .logging .loss "
    ".model .named .packed .similarity .skips .sources .tap .view .view_from_timm .views",
    # A train.py that runs in a clone of timm's repository must import that timm.
    "tied_augment.timm.__init__": ".lazy",
    "tied_augment.timm.views": ".view .views",  # the command line imports it
    "tied_augment.timm.errors": "",
    "tied_augment.timm.launcher": "",
    # The help must be instant and work without the extras.
    "tied_augment.cli": "numpy .",
    "tied_augment.cli.pick": ". .endings .packed",
    "tied_augment.cli.pack": ". .packed .splits",
    "tied_augment.cli.checks": ". .packed",
    "tied_augment.cli.unpack": ".packed",
    "tied_augment.cli.verify": ".packed",
    "tied_augment.cli.baseline": "PIL timm torch",
    "tied_augment.cli.views": ". .timm",
    "tied_augment.cli.chart": "matplotlib",
    "tied_augment.cli.explore.__init__": ".",
    "tied_augment.cli.explore.settings": ". .presets",
    "tied_augment.cli.explore.code": ". .timm",
    "tied_augment.cli.explore.photos": "numpy . .packed",
    "tied_augment.cli.explore.pictures": "numpy PIL . .sheet",
    "tied_augment.cli.explore.controls": "nicegui .",
    "tied_augment.cli.explore.page": "nicegui .",
    "tied_augment.cli.explore.server": "fastapi nicegui starlette uvicorn",
    "tied_augment.cli.tune.plot": "matplotlib",
    "tied_augment.cli.demo.digits": "numpy PIL sklearn",
    "tied_augment.cli.demo.photos": "PIL skimage sklearn .",
    "tied_augment.cli.demo.loaders": "timm . .loader",
    "tied_augment.cli.demo.report": "matplotlib .",
    "tied_augment.cli.demo.measure": "torch torchvision .",
    "tied_augment.cli.demo.training": "timm torch torchvision .",
}
# What functions may import in addition, when they are called.
ON_USE = {
    "tied_augment.view_from_timm": "timm",
    "tied_augment.items": "torchvision",
    "tied_augment.located": ".huggingface",
    "tied_augment.remote": "fsspec",
    "tied_augment.ray": "torch",
    "tied_augment.pipeline": ".sheet",
    "tied_augment.logging": "wandb .sheet",
    "tied_augment.columns": ".huggingface .streams .webdataset_stream",
    "tied_augment.fused": ".similarity",
    "tied_augment.cli.bench": "timm torch .loader .timm",
    "tied_augment.cli.explore.photos": "PIL skimage",
    "tied_augment.cli.plain": ".timm",
    "tied_augment.cli.preview": "PIL .sheet",
    "tied_augment.cli.demo.photos": ".sheet",
    "tied_augment.cli.train": ".timm",
    "tied_augment.cli.validate": ".timm",
    "tied_augment.cli.demo.__init__": "torch tqdm",
    "tied_augment.cli.pack": "tqdm",
    "tied_augment.cli.checks": "tqdm",
}


def name_of(path):
    """The row of a file. `__init__.py` goes by its package's name, unless it has its own row."""
    whole = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    has_row = whole in WHEN_IMPORTED or whole in ON_USE
    return whole if has_row else whole.removesuffix(".__init__")


def allowed(table, module):
    while module not in table and "." in module:
        module = module.rpartition(".")[0]
    return set(table.get(module, "").split())


def imported(path):
    """What a file imports: when it is imported itself, and when its functions are called."""
    now, later = set(), set()

    def walk(nodes, into):
        for node in nodes:
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                continue
            if isinstance(node, ast.Import):
                into.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                into.update(parts(node))
            inner = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            walk(ast.iter_child_nodes(node), later if inner else into)

    walk(ast.parse(path.read_text()).body, now)
    return now, later


def parts(node):
    assert node.level == 0, "imports are absolute here"
    top, _, rest = node.module.partition(".")
    if top != "tied_augment":
        return {top}
    if rest:
        return {f".{rest.partition('.')[0]}"}
    names = {alias.name for alias in node.names}
    own = {name for name in names if name == "_core" or list(PACKAGE.glob(f"{name}*"))}
    return {f".{name}" for name in own} | ({"."} if names - own else set())


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_what_its_place_allows(path):
    module = name_of(path)
    own = "." + module.split(".")[1] if "." in module else "."
    free = sys.stdlib_module_names | {own}
    now, later = (found - free for found in imported(path))
    assert module in WHEN_IMPORTED or module.count(".") > 1, f"{module} has no place in the table"
    permitted = allowed(WHEN_IMPORTED, module)
    assert now <= permitted, f"{module} imports {now - permitted}: see the table above"
    extra = later - permitted - allowed(ON_USE, module)
    assert not extra, f"functions of {module} import {extra}: see the tables above"


def test_every_row_names_a_module():
    assert len(MODULES) > 40
    names = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in MODULES}
    names |= {name.removesuffix(".__init__") for name in names}
    assert WHEN_IMPORTED.keys() | ON_USE.keys() <= names
