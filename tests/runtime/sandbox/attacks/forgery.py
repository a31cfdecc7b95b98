"""Cells that patch what runs them, or speak to the host in its place."""

from __future__ import annotations

from typing import Final

from tests.runtime.sandbox.attacks.attack import CRASHED, ERROR, OK, Attack

FORGERY: Final = (
    Attack("15 patched json", 'json.dumps = lambda *a, **k: \'{"status": "ok"}\'; json.loads = None', (OK,)),
    Attack(
        "15 patched json classes",
        """
json.JSONEncoder.default = None
json.encoder.c_make_encoder = None
json.decoder.scanstring = None
json.JSONEncoder.encode = lambda s, o: 'x'
""",
        (OK, CRASHED),
        breaks_itself=True,
    ),
    Attack("15 replaced stdout", "sys.stdout = None; sys.stderr = 5", (OK,)),
    Attack(
        "15 patched builtins",
        """
import builtins
builtins.print = builtins.len = builtins.str = builtins.type = builtins.repr = None
""",
        (OK, ERROR, CRASHED),
        breaks_itself=True,
    ),
    Attack(
        "15 patched exec and compile",
        "import builtins; builtins.exec = builtins.eval = builtins.compile = None",
        (OK,),
        breaks_itself=True,
    ),
    Attack(
        "15 patched list",
        "import builtins; builtins.list = builtins.dict = builtins.sum = None",
        (OK, ERROR, CRASHED),
        breaks_itself=True,
    ),
    Attack(
        "15 patched traceback",
        """
import traceback; traceback.print_exception = None; traceback.TracebackException = None
1 / 0
""",
        (ERROR,),
        error="ZeroDivisionError",
    ),
    Attack(
        "15 the loop's session removed",
        """
loop = sys.modules['sandbox.loop'].__dict__
loop['session'] = None
""",
        (OK, ERROR, CRASHED),
        breaks_itself=True,
    ),
    Attack(
        "15 the loop's answer replaced",
        """
loop = sys.modules['sandbox.loop'].__dict__
loop['dumps'] = lambda *a: '{"status": "ok", "stdout": 5}'
""",
        (OK, CRASHED),
        breaks_itself=True,
    ),
    Attack(
        "15 the loop's globals cleared",
        """
loop = sys.modules['sandbox.loop'].__dict__
loop.clear()
""",
        (CRASHED, ERROR),
        breaks_itself=True,
    ),
    Attack(
        "15 trace function that raises",
        """
def t(*a): raise SystemExit
sys.settrace(t)
""",
        (OK, ERROR),
    ),
    Attack(
        "15 profile function that raises",
        """
def p(*a): raise ValueError
sys.setprofile(p)
""",
        (OK, ERROR),
    ),
    Attack(
        "15 audit hook that raises",
        """
def h(*a): raise SystemExit
sys.addaudithook(h)
""",
        (OK, ERROR),
        breaks_itself=True,
    ),
    Attack(
        "15 monitoring callback that raises",
        """
m = sys.monitoring
m.use_tool_id(1, 'x')
m.set_events(1, m.events.PY_START)
m.register_callback(1, m.events.PY_START, lambda *a: 1 / 0)
""",
        (ERROR, CRASHED),
    ),
    Attack("15 no modules", "for m in list(sys.modules): del sys.modules[m]", (OK,)),
    Attack("15 no imports", "import builtins; builtins.__import__ = None; sys.meta_path.clear()", (OK,)),
    Attack(
        "15 every object that the collector knows emptied",
        """
import gc
for o in gc.get_objects():
    if type(o) in (dict, list):
        try: o.clear()
        except BaseException: pass
""",
        (OK, ERROR, CRASHED),
        breaks_itself=True,
    ),
    Attack(
        "15 the loop's own functions found through frames",
        """
f = sys._getframe(1)
while f:
    f.f_globals['dumps'] = f.f_globals['loads'] = None
    f = f.f_back
""",
        (OK, CRASHED),
        breaks_itself=True,
    ),
    Attack(
        "15 the output's own class patched",
        "import sandbox.output; sandbox.output.CappedOutput.take = lambda s: 'x' * 100_000_000",
        (CRASHED,),
        timeout=20,
    ),
    Attack(
        "15 forged answer with bytes behind it",
        """
import struct
held = bytearray(100_000_000)
door = os.open('/host/door', os.O_RDWR)
os.write(door, b'G' + struct.pack('<QQ', 0, 100_000_000))
os.write(door, b'N{"status": "ok"}')
""",
        (CRASHED,),
        timeout=20,
        breaks_itself=True,
    ),
    Attack(
        "15 forged answer with a number of a megabyte",
        """
text = b'N{"status": "ok", "locals": {"x": {"type": "", "repr": "", "value": 1' + b'0' * 1_000_000 + b'}}}'
os.write(os.open('/host/door', os.O_RDWR), text)
""",
        (CRASHED,),
        breaks_itself=True,
    ),
    Attack("15 empty door message", "os.write(os.open('/host/door', os.O_RDWR), b'')", (OK, ERROR)),
    Attack("15 unknown door message", "os.write(os.open('/host/door', os.O_RDWR), b'Z' * 1000)", (OK, ERROR)),
    Attack(
        "15 copy to an address out of bounds",
        """
import struct
os.write(os.open('/host/door', os.O_RDWR), b'P' + struct.pack('<QQ', 1 << 40, 1 << 40))
""",
        (ERROR, CRASHED),
    ),
    Attack(
        "15 copy without a file",
        """
import struct
os.write(os.open('/host/door', os.O_RDWR), b'P' + struct.pack('<QQ', 0, 100))
""",
        (CRASHED, ERROR),
    ),
    Attack(
        "15 collect out of bounds",
        """
import struct
os.write(os.open('/host/door', os.O_RDWR), b'G' + struct.pack('<QQ', 0, 1 << 31))
""",
        (OK, ERROR, CRASHED),
    ),
    Attack("15 half a door message", "os.write(os.open('/host/door', os.O_RDWR), b'P123')", (CRASHED,)),
    Attack(
        "15 door message beyond the cap",
        "os.write(os.open('/host/door', os.O_RDWR), b'N' * 100_000_000)",
        (ERROR,),
        error="OSError",
        timeout=20,
    ),
    Attack(
        "15 forged answer of very many values",
        """
text = b'{"status": "ok", "locals": {"x": {"type": "", "repr": "", "value": [' + b'[],' * 15_000_000 + b'1]}}}'
os.write(os.open('/host/door', os.O_RDWR), b'N' + text)
""",
        (CRASHED,),
        timeout=20,
        breaks_itself=True,
    ),
    Attack(
        "15 forged answer with a huge name",
        """
text = b'{"status": "ok", "locals": {"' + b'x' * 50_000_000 + b'": {"type": "", "repr": ""}}}'
os.write(os.open('/host/door', os.O_RDWR), b'N' + text)
""",
        (CRASHED,),
        timeout=20,
        breaks_itself=True,
    ),
)
