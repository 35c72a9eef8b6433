"""Metadata, dependencies and packages of OneValue; settings of the checks live in pyproject.toml."""

from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent
VERSION = next(
    line.split('"')[1]
    for line in (HERE / "onevalue" / "__init__.py").read_text().splitlines()
    if line.startswith("__version__")
)

setup(
    name="onevalue",
    version=VERSION,
    description="A distributed one-value database: one value, the same on every host of a fleet.",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11",
    # Without package_dir an editable install hides the plugin; find_packages() would drop twisted.plugins silently,
    # and an __init__.py under twisted/ would overwrite Twisted's own.
    package_dir={"": "."},
    packages=[
        "onevalue",
        "onevalue.agent",
        "onevalue.commands",
        "onevalue.rpc",
        "onevalue.serf",
        "onevalue.simulation",
        "onevalue.spread",
        "onevalue.swim",
        "onevalue.web",
        "onevalue.wire",
        "twisted.plugins",
    ],
    package_data={"onevalue": ["py.typed"], "onevalue.web": ["page/*"]},
    entry_points={"console_scripts": ["onevalue=onevalue.cli:main"]},
    install_requires=[
        "twisted[tls]>=24.11",
        "pyopenssl>=24",
        "service-identity>=23.1",  # whether a certificate is for an address
        "klein>=24.8",
        "treq>=24.9",
        "hyperlink>=21",  # the URLs that treq takes
        "attrs>=23.1",
        "msgpack>=1.0.5",
        "cryptography>=42",
        "prometheus-client>=0.20",
        "google-re2>=1.1",  # tags of queries: Python's own re can be stalled for ever by one pattern
    ],
    extras_require={
        "test": [
            "pytest>=8",
            "pytest-twisted>=1.14",
            "coverage>=7",
            "pytest-xdist>=3",
            "hypothesis>=6.100",
            "matplotlib>=3.8",
            "schemathesis>=4.32",
            "jsonschema-rs>=0.60",  # which it is built upon
            "pyyaml>=6",
            "selenium>=4.20",  # the live page in a real browser
            "axe-core-python>=0.1",  # rules of accessibility: it has axe-core's script in it
        ],
        "lint": ["build", "mypy>=1.11", "mypy-zope>=1.0.7", "ruff>=0.6", "types-pyyaml", "types-setuptools"],
        "bench": ["psutil>=5.9"],
        "fuzz": ["atheris>=3.0"],
        "plot": ["matplotlib>=3.8"],  # the pictures of `onevalue simulate`
    },
    classifiers=[
        "Framework :: Twisted",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
    ],
    zip_safe=False,
)
