"""`make guest PACKAGES="…"`: bakes packages into a guest image and says what is in it.

    python -m runtime.sandbox.baking --packages "humanize python-slugify==8.0.4" [--name NAME] [--base scientific]

Its folder is that of the compiled guests: SANDBOX_GUEST_DIR, else the user's cache folder.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from runtime.sandbox.baked_guest import BakedGuest
from runtime.sandbox.baking.errors import BakingError, RequirementError
from runtime.sandbox.baking.image import Order, bake, check_name, derive_name
from runtime.sandbox.baking.requirements import parse_packages, read_requirements
from runtime.sandbox.baking.wheel import Wheel
from runtime.sandbox.guest_catalogue import find_image
from runtime.sandbox.guest_image import IMAGES, STDLIB, GuestImageError, default_folder


def main(argv: list[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    try:
        order = _order(args)
        names = ", ".join(str(each) for each in order.wanted)
        sys.stderr.write(f"==> baking guest image {order.name} on {order.base.name}: {names}\n")
        guest, path = bake(order, args.folder, _show)
    except (BakingError, GuestImageError) as error:
        sys.stderr.write(f"baking: {error}\n")
        return 1
    sys.stderr.write(_summary(guest, path))
    sys.stdout.write(f"{path}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m runtime.sandbox.baking", description=__doc__)
    parser.add_argument("--packages", default="", help="requirements, separated by spaces")
    parser.add_argument("--requirements", type=Path, metavar="FILE", help="requirements file, also with hashes")
    parser.add_argument("--name", default="", help="name of the image; else one is made of the packages' names")
    parser.add_argument("--base", default=STDLIB.name, choices=sorted(IMAGES), help="the image to add to")
    parser.add_argument("--preload", default="", help="modules to import before any session, separated by spaces")
    folder = Path(os.environ.get("SANDBOX_GUEST_DIR") or default_folder())
    parser.add_argument("--folder", type=Path, default=folder, help="where to write it (default: %(default)s)")
    return parser


def _order(args: argparse.Namespace) -> Order:
    base = find_image(args.base, [])
    wanted = parse_packages(args.packages) + (read_requirements(args.requirements) if args.requirements else [])
    if not wanted:
        raise RequirementError("nothing to bake: name packages, or a requirements file that has some for the guest")
    name = args.name or derive_name(wanted, base)
    check_name(name)
    return Order(wanted, base, name, tuple(args.preload.split()))


def _show(wheel: Wheel) -> None:
    sys.stderr.write(f"    {wheel.name} {wheel.version}  {wheel.size / 1000:,.0f} kB  {wheel.package.licence}\n")


def _summary(guest: BakedGuest, path: Path) -> str:
    many = "1 package" if len(guest.packages) == 1 else f"{len(guest.packages)} packages"
    return (
        f"==> {guest.name}: {many}, {path.stat().st_size / 1000:,.0f} kB; cells import {', '.join(guest.modules)}\n"
        f"    a SandboxPool (or the `sandbox` of an RLMStack) uses it with `image: {guest.name}`\n"
    )


if __name__ == "__main__":
    sys.exit(main())
