"""`mien audit`: find the labels of a pack that are probably wrong."""

import argparse
from dataclasses import asdict

from mien.audit.options import AuditOptions
from mien.cli.output import print_result
from mien.cli.parser import (
    LOCAL_PATH,
    PACK_HELP,
    Commands,
    add_command,
    add_options,
    read_options,
    requires_extra,
)
from mien.runtime.addresses import path_or_address


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "audit",
        "Find the labels of a pack that are probably wrong, and write a page on which to correct them.",
        "mien train --recipe demo --pack my.pack --folds 5 --out folds\n  mien audit my.pack --folds folds --out audit",
    )
    parser.add_argument("pack", type=path_or_address, metavar="PACK", help=PACK_HELP)
    parser.add_argument("--out", type=LOCAL_PATH, required=True, metavar="AUDIT", help="folder to create")
    add_options(parser, AuditOptions)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Audit the pack."""
    options = read_options(AuditOptions, args)
    if sum(one is not None for one in (options.folds, options.dev_run, options.model)) > 1:
        args.parser.error("--folds, --run and --model exclude each other: give one source of predictions")
    with requires_extra("audit", "data"):
        from mien.audit.review import write_review  # noqa: F401 - loaded now, so that it is not missed at the end
        from mien.audit.stage import audit
        from mien.formats.remote import fetch_pack

    print_result(audit(fetch_pack(args.pack), out=args.out, **asdict(options)))
