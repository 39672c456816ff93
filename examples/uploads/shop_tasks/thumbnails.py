"""A thumbnail of an image: bytes in, bytes out. It knows nothing of S3."""

import io

from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP")
"""No other decoder of Pillow gets to see what a stranger has uploaded."""
MOST_PIXELS = 50_000_000


class PoisonImageError(Exception):
    """An image that no retry makes readable. The text says why."""


def thumbnail(picture: bytes, width: int) -> bytes:
    """Return a JPEG of at most `width` pixels in width and height. Raises PoisonImageError."""
    try:
        with Image.open(io.BytesIO(picture), formats=FORMATS) as image:
            size = image.width * image.height
            if size <= MOST_PIXELS:
                return _shrunk(image, width)
    except MemoryError:
        raise
    except UnidentifiedImageError as error:
        raise PoisonImageError(f"it is no {', '.join(FORMATS)} image") from error
    except Exception as error:  # of many types: nothing but the bytes can be wrong here
        raise PoisonImageError(f"it is broken: {type(error).__name__}") from error
    raise PoisonImageError(f"it has {size:,} pixels, more than {MOST_PIXELS:,}")


def _shrunk(image: Image.Image, width: int) -> bytes:
    image.thumbnail((width, width))
    if image.mode.startswith("I"):  # 16 bits of grey, which `convert` would cut off
        image = image.point(lambda grey: grey * (1 / 256)).convert("L")
    upright = ImageOps.exif_transpose(image).convert("RGBA")
    flat = Image.new("RGB", upright.size, "white")
    flat.paste(upright, mask=upright)
    file = io.BytesIO()
    flat.save(file, "JPEG", quality=85)
    return file.getvalue()
