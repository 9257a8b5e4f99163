"""`mien predict`: predict the faces of images, videos and cameras."""

import argparse
import logging
import sys
from contextlib import ExitStack

from mien.cli.parser import (
    Commands,
    OptionType,
    add_command,
    add_model,
    add_options,
    read_options,
    require_packages,
)
from mien.predict.options import PredictOptions

_log = logging.getLogger(__name__)


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "predict",
        "Predict the expressions of faces in images, videos and camera streams.",
        "mien predict photo.jpg holiday/ 'shots/*.png' --out faces.jsonl --draw drawn\n"
        "  mien predict talk.mp4 --out talk.csv --timeline talk.png --draw drawn\n"
        "  mien predict talk.mp4 --from 1:30 --to 2:00\n"
        "  mien predict --camera 0 --show --max-seconds 60",
    )
    parser.add_argument(
        "sources",
        nargs="*",
        metavar="SOURCE",
        help="image, video, folder of these, quoted glob pattern, camera index, or URL of a photo, video or stream; "
        "- reads a list of these from standard input. The exit code is 1 if not one of them can be read",
    )
    parser.add_argument(
        "--camera",
        type=OptionType(int, {"least": 0}),
        metavar="N",
        help="use the camera with this index; 0 is the first",
    )
    add_model(parser)
    add_options(parser, PredictOptions)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Predict, and summarize on standard error: standard output may hold the table."""
    from mien.formats.stores import output_path
    from mien.inference.media_sources import read_list, require_readable
    from mien.predict import stage

    sources = [*args.sources, *([] if args.camera is None else [args.camera])]
    if not sources:
        args.parser.error("name an image, video, folder, camera or URL")
    with ExitStack() as stack:
        if args.out is not None:
            args.out = stack.enter_context(output_path(args.out, force=args.force, resume=args.resume))
        options = read_options(PredictOptions, args)
        if options.timeline is not None:
            require_packages("predict --timeline", "data", "matplotlib")
        if options.out is not None and options.out.suffix.lower() == ".parquet":
            require_packages("predict --out FILE.parquet", "data", "pyarrow")
        summary = stage.run_predict(
            sources, args.model, options=options, stream=sys.stdout, lines=read_list(sys.stdin)
        )
    if summary is None:
        return
    _log.info("%s", summary)
    n_read, n_sources = summary.n_faces + summary.n_without_face, summary.n_images + summary.n_videos
    require_readable(n_read, summary.n_unreadable, n_sources)
