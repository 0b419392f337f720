"""Packaging of kmax_tf: two environments, chosen by the Python version."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
OLD = 'python_version < "3.12"'  # TensorFlow 2.15 with Keras 2.15 and TensorFlow Addons
NEW = 'python_version >= "3.12"'  # TensorFlow 2.20 with tf_keras; Addons does not exist here
# Python 3.9 has none: tf2onnx for it would bring another protobuf.
ONNX = [
    'tf2onnx==1.17.0; python_version >= "3.10"',
    'onnxruntime; python_version >= "3.10"',
    # Newer ones need an ml-dtypes that TensorFlow 2.15 does not accept.
    'onnx<1.19; python_version >= "3.10" and python_version < "3.12"',
]

setup(
    name="kmax_tf",
    version="0.1.0",
    description="kMaX-DeepLab (k-means Mask Transformer) for TensorFlow and Keras",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.9,<3.14",
    packages=find_packages(
        include=["kmax_tf*", "protos*", "evaluation*", "trainer*"], exclude=["tests*"]
    ),
    package_data={"protos": ["*.proto"], "kmax_tf.data": ["categories/*.json"]},
    install_requires=[
        f"tensorflow==2.15.1; {OLD}",
        f"tensorflow-addons==0.23.0; {OLD}",
        f"tf-models-official==2.15.0; {OLD}",
        f"tensorflow-serving-api==2.15.1; {OLD}",
        f"tensorflow-metadata<1.18; {OLD}",
        f"tensorflow==2.20.0; {NEW}",
        f"tf_keras==2.20.1; {NEW}",
        f"tf-models-official==2.20.0; {NEW}",
        f"tensorflow-serving-api==2.20.0; {NEW}",
        "numpy",
        "scipy",
        "pycocotools",
        "protobuf",
        "absl-py",
        "pillow",
        "tqdm",
    ],
    extras_require={
        "dev": [
            "pytest",
            "pytest-xdist",
            "hypothesis",
            "ruff==0.17.5",
            "pyright==1.1.414",
            "pre-commit",
            'grpcio-tools==1.62.3; python_version < "3.12"',
            "safetensors",
            *ONNX,
        ],
        # Coverage-guided fuzzing; not part of [dev], since not every Python has wheels.
        "fuzz": ["atheris"],
        "convert": ["safetensors"],
        "onnx": ONNX,
        "gpu": [
            f"tensorflow[and-cuda]==2.15.1; {OLD}",
            f"tensorflow[and-cuda]==2.20.0; {NEW}",
        ],
    },
    entry_points={"console_scripts": ["kmax = trainer.cli:main"]},
)
