"""The bodies of the API, for its document: `FaceReading.to_dict` and its kin, field by field."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.config import JsonDict

from mien.reading.answers import ClassCount

_ROW: JsonDict = {
    "source": "party.jpg",
    "frame": None,
    "seconds": None,
    "face": 0,
    "track": None,
    "status": "ok",
    "detail": "",
    "box_xyxy": [412.31, 120.05, 561.9, 310.44],
    "score": 0.934512,
    "expression": "Happy",
    "confidence": 0.971204,
    "probabilities": {"Neutral": 0.028796, "Happy": 0.971204},
    "landmarks": None,
    "valence": 0.81,
    "arousal": 0.22,
}


def _whole(value: object) -> object:
    """Return the number that a query's text is; what is none is left to be refused."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


class PredictQuery(BaseModel):
    """How pictures are read; as the options of `mien predict`."""

    model_config = ConfigDict(extra="forbid")

    classes: Annotated[ClassCount, BeforeValidator(_whole)] | None = Field(
        None,
        description="Answer among AffectNet's first 7 (no Contempt), 8 or 11 classes; all that the model has",
    )
    min_confidence: float = Field(
        0.0, ge=0, le=1, description="Call a face `unsure` where the likeliest class is less probable"
    )
    top: int | None = Field(
        None, ge=1, description="Give the probabilities of so many of the likeliest classes"
    )
    crop: Literal["detect", "whole"] = Field(
        "detect", description="detect: find the faces; whole: every picture is one cropped face"
    )


class Face(BaseModel):
    """One face, or one picture without a face, or one that cannot be read."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ROW]})

    source: str = Field(description="The file's name as it was sent; empty for a picture sent as the body")
    frame: int | None = Field(description="Null: pictures have no frames")
    seconds: float | None = Field(description="Null: pictures have no times")
    face: int | None = Field(description="0-based place among the faces of the picture, the largest first")
    track: int | None = Field(description="Null: nobody is followed through a picture")
    status: str = Field(
        description="`ok`, `no_face`, or why not all is read: `empty_file`, `not_an_image`, `truncated_image`, "
        "`image_too_large`, `unclear_depth`, `too_many_faces`"
    )
    detail: str = Field(description="About what is not read, for a person")
    box_xyxy: Annotated[list[float], Field(min_length=4, max_length=4)] | None = Field(
        description="Left, top, right, bottom in pixels of the upright picture"
    )
    score: float | None = Field(description="Of the detector, 0 to 1")
    expression: str | None = Field(description="The most probable class, or `unsure`")
    confidence: float | None = Field(description="Its probability")
    probabilities: dict[str, float] | None = Field(description="By class, in the model's order")
    landmarks: list[Annotated[list[float], Field(min_length=2, max_length=2)]] | None = Field(
        description="68 points x, y in pixels of the upright picture, in the iBUG order"
    )
    valence: float | None = Field(description="-1 to 1")
    arousal: float | None = Field(description="-1 to 1")


class Picture(BaseModel):
    """All that is read from a picture."""

    source: str
    rows: list[Face] = Field(min_length=1)


class Readings(BaseModel):
    """The answer of `/v1/predict`: pictures in the order in which they were sent."""

    results: list[Picture]


class Crop(BaseModel):
    """How a face is cut from a picture."""

    model_config = ConfigDict(extra="allow")


class Model(BaseModel):
    """What the served model file says of itself."""

    name: str
    card: str = Field(description="Markdown; empty where the model has none")
    classes: list[str]
    crop: Crop
    input_size: int = Field(description="Side of the model's input in pixels")
    tasks: list[str]
    temperature: float
    training: dict[str, Any]
    licence: str
    quantisation: dict[str, Any] | None = Field(description="Of an int8 file; null in a float file")
    format_version: int


class Health(BaseModel):
    """The answer of the two health routes."""

    status: Literal["ok"]


class Problem(BaseModel):
    """What went wrong."""

    code: str = Field(description="A word for programs")
    message: str = Field(description="For a person, in one line")
    status: int = Field(description="The status of HTTP once more")


class Failure(BaseModel):
    """The one shape of every answer that is no success."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "error": {
                        "code": "body_too_large",
                        "message": "A body may have 33,554,432 bytes",
                        "status": 413,
                    }
                }
            ]
        }
    )

    error: Problem
