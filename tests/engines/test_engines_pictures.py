"""A real browser gets the console's pictures from MinIO itself, and the viewer still reads their pixels."""

from pathlib import Path
from urllib.parse import urlsplit

from tests.browser.conftest import serve
from tests.chromium import chromium

IMAGES = 20


def test_the_gallery_is_served_by_the_object_store_and_the_viewer_by_the_console(
    stack: dict[str, str], bucket_url: str, tmp_path: Path
) -> None:
    store = f"http://{urlsplit(bucket_url).netloc}"
    settings = {
        "ASTROLENS_IMAGES_URL": bucket_url,
        "ASTROLENS_S3_ACCESS_KEY": stack["ASTROLENS_S3_ACCESS_KEY"],
        "ASTROLENS_S3_SECRET_KEY": stack["ASTROLENS_S3_SECRET_KEY"],
        "ASTROLENS_S3_PUBLIC_URL": store,
    }
    with serve(tmp_path, IMAGES, **settings) as console, chromium() as browser:
        page = browser.new_page(viewport={"width": 1440, "height": 2400})
        said, pictures = [], []
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.on("response", lambda answer: pictures.append(answer) if "/cutout" in answer.url else None)
        fetched: list[str] = []
        page.on("requestfinished", lambda request: fetched.append(request.url))

        page.goto(f"{console.url}/gallery?simulated=any")
        drawn = (
            "() => [...document.querySelectorAll('img[src*=cutout]')].filter((each) => each.naturalWidth > 0).length"
        )
        page.wait_for_function(f"({drawn})() >= {IMAGES}", timeout=30_000)
        assert {answer.status for answer in pictures} == {307}
        for _ in range(100):  # a picture is drawn before its request is told as finished
            if sum(url.startswith(f"{store}/") for url in fetched) >= IMAGES:
                break
            page.wait_for_timeout(100)
        assert sum(url.startswith(f"{store}/") for url in fetched) >= IMAGES

        pictures.clear()
        image = console.get("/images?limit=1")["items"][0]["image_id"]
        page.goto(f"{console.url}/image/{image}")
        page.wait_for_selector(".viewer[data-state=ready]", timeout=30_000)
        assert any(answer.status == 200 and answer.url.endswith(f"{image}/cutout?stream=true") for answer in pictures)
        assert said == []
