"""Request and response schemas for the OpenAPI document; they mirror `FacePrediction.to_dict` field by field."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.config import JsonDict

from mien.inference.decision_rule import ClassCount, Prior

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
    "found_by": "detector",
    "expression": "Happy",
    "confidence": 0.971204,
    "probabilities": {"Neutral": 0.028796, "Happy": 0.971204},
    "reason": "",
    "label_set": None,
    "quality": {
        "face_px": 149.59,
        "sharpness": 0.451,
        "brightness": 0.402,
        "contrast": 0.217,
        "covered": 0.012,
        "roll_deg": -3.1,
        "yaw_deg": 8.4,
        "pitch_deg": -2.0,
    },
    "landmarks": None,
    "valence": 0.81,
    "arousal": 0.22,
}


def _parse_integer(value: object) -> object:
    """Convert the text of a query parameter, which a Literal of integers would reject; other text is left to it."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


class PredictQuery(BaseModel):
    """Prediction options; the same as those of `mien predict`."""

    model_config = ConfigDict(extra="forbid")

    classes: Annotated[ClassCount, BeforeValidator(_parse_integer)] | None = Field(
        None,
        description="Restrict the prediction to the first 7 (without Contempt), 8 or 11 AffectNet classes; "
        "default: all classes of the model",
    )
    min_confidence: float = Field(
        0.0, ge=0, le=1, description="Report `unsure` if the top-1 probability is below this"
    )
    top: int | None = Field(None, ge=1, description="Return only the `top` highest class probabilities")
    prior: Prior = Field(
        "as-trained",
        description="How common the classes are assumed to be: `as-trained`; `balanced`: equally common, so that rare classes "
        "are predicted more often; `half`: in between",
    )
    quality_rule: bool = Field(
        True,
        description="Report `unsure` for a face that is too small, too dark, blurred or covered",
    )
    crop: Literal["detect", "whole"] = Field(
        "detect", description="`detect`: run face detection; `whole`: treat each image as one cropped face"
    )
    min_face_px: int = Field(
        0,
        ge=0,
        description="Leave out faces whose box's shorter side is less than this many pixels; the larger it is, the less time "
        "finding faces takes. Only for faces that are detected",
    )


class Face(BaseModel):
    """One face, or an image without a face, or an image that could not be decoded."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ROW]})

    source: str = Field(description="File name as sent; empty for an image sent as the body")
    frame: int | None = Field(description="Always null for images")
    seconds: float | None = Field(description="Always null for images")
    face: int | None = Field(description="0-based index of the face within the image, largest first")
    track: int | None = Field(description="Always null for images")
    status: str = Field(
        description="`ok`, `no_face`, or why the image was not fully processed: `empty_file`, `not_an_image`, `truncated_image`, "
        "`image_too_large`, `unclear_depth`, `face_outside_image`, `too_many_faces`"
    )
    detail: str = Field(description="Human-readable explanation of the status")
    box_xyxy: Annotated[list[float], Field(min_length=4, max_length=4)] | None = Field(
        description="Left, top, right, bottom in pixels, after applying the EXIF orientation"
    )
    score: float | None = Field(description="Detection score, 0 to 1")
    found_by: Literal["detector", "whole", "given"] | None = Field(
        description="`detector`; `whole`: the image was taken as one face; `given`: the box came with the request"
    )
    expression: str | None = Field(description="Top-1 class, or `unsure`")
    confidence: float | None = Field(
        description="Top-1 probability; lower if `reason` says that the face is hard to see"
    )
    probabilities: dict[str, float] | None = Field(
        description="Probability per class, in the model's class order"
    )
    reason: str = Field(description="Why the expression is `unsure`, such as `too small`; otherwise empty")
    label_set: list[str] | None = Field(
        description="The classes that the face may have, if the server was started with `--coverage`; null otherwise, and in "
        "streams, whose frames repeat each other"
    )
    quality: dict[str, float | None] | None = Field(
        description="How well the face can be seen: `face_px`, `sharpness`, `brightness`, `contrast`, `covered`, `roll_deg`, "
        "`yaw_deg`, `pitch_deg`"
    )
    landmarks: list[Annotated[list[float], Field(min_length=2, max_length=2)]] | None = Field(
        description="68 points (x, y) in pixels, after applying the EXIF orientation, in iBUG order"
    )
    valence: float | None = Field(description="In [-1, 1]")
    arousal: float | None = Field(description="In [-1, 1]")
    action_units: dict[str, float] | None = Field(
        None,
        description="By name, such as `AU06`: the probability that the unit is present, or its intensity from 0 to 5, "
        "see `annotations` of the model; only for a face and a model with action units",
    )


class ImageResult(BaseModel):
    """All predictions for one image."""

    source: str
    size_wh: Annotated[list[int], Field(min_length=2, max_length=2)] | None = Field(
        description="Width and height in pixels, after applying the EXIF orientation; null if the image cannot be decoded"
    )
    rows: list[Face] = Field(min_length=1)
    n_more_images: int = Field(
        description="Further images in the file, such as the pages of a TIFF or the frames of an animation, which are not "
        "predicted"
    )


class Predictions(BaseModel):
    """Response of `/v1/predict`: one result per image, in request order."""

    results: list[ImageResult]


class Crop(BaseModel):
    """How a face is cropped from an image."""

    model_config = ConfigDict(extra="allow")


class LabelSetLimits(BaseModel):
    """A set has the classes for which 1 - probability is at most the limit."""

    coverage: float = Field(description="Probability that a set contains the true class, whatever the class")
    limits: dict[str, float | None] = Field(description="By class; null: it is in every set")
    n_faces: dict[str, int] = Field(description="Labeled faces of each class from which its limit comes")


class FaceDetector(BaseModel):
    """What finds the faces."""

    name: Literal["yunet", "cascade"] = Field(
        description="`cascade`: OpenCV's, which misses turned and covered faces, because the server has no YuNet file"
    )
    sha256: str = Field(description="Of the detector's file")
    onnxruntime: str | None = Field(None, description="Version that runs YuNet")


class ModelMetadata(BaseModel):
    """Metadata of the served model."""

    name: str
    sha256: str = Field(description="Of the model file, to tell which model gave a result")
    mien_version: str = Field(description="Version of the server")
    detector: FaceDetector
    card: str = Field(description="Model card in Markdown; empty if the model has none")
    classes: list[str]
    crop: Crop
    input_size: int = Field(description="Side length of the model input in pixels")
    tasks: list[str]
    temperature: float
    training: dict[str, Any]
    class_fractions: list[float] | None = Field(
        description="Fraction of each class that the model was trained on, for `prior`; null if the model does not record it"
    )
    label_sets: LabelSetLimits | None = Field(
        description="How the prediction sets are made; null without `mien serve --coverage`"
    )
    license: str
    quantization: dict[str, Any] | None = Field(
        description="How an int8 model was quantized; null for a float model"
    )
    annotations: dict[str, Any] | None = Field(
        None, description="Names and kind of the action units; only if the model has them"
    )
    quality_rule: dict[str, Any] | None = Field(
        None,
        description="Limits of the quality rule, and the fraction of right answers beyond them; only if the model has its own",
    )
    format_version: int


class Health(BaseModel):
    """Response of the health checks."""

    status: Literal["ok"]


class ErrorDetail(BaseModel):
    """Details of an error."""

    code: str = Field(description="Machine-readable error code")
    message: str = Field(description="Human-readable message, one line")
    status: int = Field(description="HTTP status code, repeated")


class ErrorResponse(BaseModel):
    """The format of every error response."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "error": {
                        "code": "body_too_large",
                        "message": "A body may have at most 33,554,432 bytes. Send fewer or smaller images",
                        "status": 413,
                    }
                }
            ]
        }
    )

    error: ErrorDetail
