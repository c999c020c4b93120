"""The quick tests with each Python, and those that touch libraries with the lowest versions of them.

nox -s tests    # Pythons that this machine lacks are skipped; each fetches a torch of its own
nox -s lowest   # Python 3.11 and the versions of constraints-lowest.txt
"""

import nox

nox.options.reuse_venv = "yes"
nox.options.error_on_missing_interpreters = False
QUICK = (
    "pytest",
    "-n",
    "auto",
    "--maxprocesses",
    "4",
    "--dist",
    "loadfile",
    "-m",
    "not slow and not torture",
)
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
TOUCH_LIBRARIES = (
    "tests/bids_app/test_records.py",
    "tests/cli/test_program.py",
    "tests/data",
    "tests/dicom",
    "tests/evaluation",
    "tests/methods",
    "tests/networks",
    "tests/phantom",
    "tests/report",
    "tests/serve/test_app.py",
    "tests/serve/test_security.py",
    "tests/synthesis/test_backends.py",
    "tests/test_config.py",
    "tests/test_settings_files.py",
    "tests/training/test_checkpoint.py",
    "tests/training/test_trainer.py",
)


@nox.session(python=["3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    """The quick tests with one Python."""
    session.install("--constraint", "constraints.txt", "--editable", ".[dev,phantom]")
    session.run(*QUICK, *session.posargs, env=ONE_THREAD)


@nox.session(python="3.11")
def lowest(session: nox.Session) -> None:
    """Tests of what libraries do for the program, with the lowest versions that pyproject.toml allows."""
    constraints = ("--constraint", "constraints.txt", "--constraint", "constraints-lowest.txt")
    tools = (
        "ancpbids",
        "monai",
        "pytest",
        "pytest-xdist",
        "pytorch-msssim",
        "scikit-image",
        "scikit-learn",
        "torchmetrics",
    )
    session.install(*constraints, "--editable", ".[phantom,onnxruntime,openvino,dicom,serve]", *tools)
    # Old libraries may warn of what has become of each other
    session.run(*QUICK, "-o", "filterwarnings=default", *(session.posargs or TOUCH_LIBRARIES), env=ONE_THREAD)
