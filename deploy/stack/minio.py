"""MinIO."""

from urllib.error import URLError
from urllib.request import urlopen

from deploy.stack.install import minio_program
from deploy.stack.layout import Layout
from deploy.stack.server import Server

USER = "astrolens"
BUCKET = "astrolens"


def server(layout: Layout) -> Server:
    """The server."""
    folder = layout.data("minio")
    folder.mkdir(exist_ok=True, mode=0o700)
    address = f"127.0.0.1:{layout.minio_port}"
    return Server(
        name="minio",
        command=[str(minio_program(layout)), "server", "--quiet", "--address", address, str(folder)],
        state=layout.state,
        healthy=lambda: _answers(f"http://{address}/minio/health/ready"),
        environment={
            "MINIO_ROOT_USER": USER,
            "MINIO_ROOT_PASSWORD": layout.secrets["minio"],
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
        },
        start_timeout_s=30.0,
    )


def url(layout: Layout, bucket: str = BUCKET) -> str:
    """What AstroLens connects to; the keys go by themselves."""
    return f"s3+http://127.0.0.1:{layout.minio_port}/{bucket}"


def _answers(address: str) -> bool:
    try:
        with urlopen(address, timeout=2.0) as answer:  # noqa: S310 - our own loopback address
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
