"""Real audio devices without hardware: a private PulseAudio server with virtual speakers and a microphone.

PortAudio, and so sounddevice, lists them as devices:

    rt_out           44.1 kHz stereo speakers; record `rt_out_monitor` to get what they play, bit for bit
    rt_48k           the same, but at 48 kHz, recorded in the same way from the server's rt_48k.monitor
    rt_four          speakers of four channels, likewise with rt_four.monitor
    rt_mic           a microphone that hears what is played to `rt_mic_feed`

Needs no root, D-Bus or system file; every server has its own folder, so test runs side by side do not meet.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

INSTALL_HINT = "apt-get install pulseaudio pulseaudio-utils libasound2-plugins libportaudio2"

# The supervisor obeys lines on its stdin and tears everything down at end of file. The pipe's other end is
# ours, so the server goes away with us however we die, also by SIGKILL.
_SUPERVISOR = r"""
pid=
halt() { [ -z "$pid" ] || { kill "-$1" "$pid"; wait "$pid"; pid=; }; }
while read -r order; do
  case "$order" in
    start) rm -f "$folder/native"; "$@" </dev/null & pid=$! ;;
    kill) halt KILL ;;
    rank) chrt --all-tasks --rr --pid 20 "$pid" ;;
  esac
done
halt TERM
rm -rf "$folder"
"""

FOUR_CHANNELS = "front-left,front-right,rear-left,rear-right"
"""What ALSA calls four channels, in its order."""

# norewinds=1: with rewinding allowed PortAudio gets a fraction of its callbacks, and no error.
_SERVER_SCRIPT = """\
.fail
load-module module-native-protocol-unix auth-anonymous=1 auth-cookie-enabled=0 socket={folder}/native
load-module module-null-sink sink_name=rt_out {form} sink_properties=device.description=rt_out
load-module module-null-sink sink_name=rt_48k {form_48k} sink_properties=device.description=rt_48k
load-module module-null-sink sink_name=rt_four {form_four} sink_properties=device.description=rt_four
load-module module-null-sink sink_name=rt_mic_feed {form} sink_properties=device.description=rt_mic_feed
load-module module-remap-source source_name=rt_mic master=rt_mic_feed.monitor {microphone}
set-default-sink rt_out
set-default-source rt_mic
"""

_ALSA_HEAD = """\
pcm_type.pulse { lib "libasound_module_pcm_pulse.so" }
ctl_type.pulse { lib "libasound_module_ctl_pulse.so" }
ctl.pulse { type pulse }
ctl.!default { type pulse }
"""
_ALSA_DEVICE = 'pcm.{name} {{ type pulse {device} hint {{ show on description "{text}" }} }}\n'
_ALSA_DEVICES = (
    ("!default", "", "default"),
    ("rt_out", 'device "rt_out"', "virtual speakers"),
    ("rt_out_monitor", 'device "rt_out.monitor"', "what the virtual speakers play"),
    ("rt_48k", 'device "rt_48k"', "virtual speakers at 48 kHz"),
    ("rt_four", 'device "rt_four"', "virtual speakers of four channels"),
    ("rt_mic", 'device "rt_mic"', "virtual microphone"),
    ("rt_mic_feed", 'device "rt_mic_feed"', "feeds the virtual microphone"),
)


def why_not() -> str | None:
    """What is missing for virtual devices here, as one line for a skip, or None when all is there."""
    missing = [program for program in ("pulseaudio", "pactl") if shutil.which(program) is None]
    if not any(Path("/usr/lib").glob("*/alsa-lib/libasound_module_pcm_pulse.so")):
        missing.append("the ALSA plugin for PulseAudio")
    return f"virtual audio needs {', '.join(missing)}: {INSTALL_HINT}" if missing else None


class VirtualAudio:
    """One private server. `environment` is what a process needs to see its devices and no others.

    `remixing` False: channels go to those of their own name and nowhere else.
    """

    def __init__(self, sample_rate: int = 44100, remixing: bool = True) -> None:
        # Directly in the temporary folder: a Unix socket's path may have 107 bytes and no more.
        self.folder = Path(tempfile.mkdtemp(prefix="rtsep-audio-"))
        self._sample_rate = sample_rate
        self._remixing = remixing
        self._supervisor: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables for a child process, or for this one before PortAudio initialises."""
        return {
            "PULSE_SERVER": f"unix:{self.folder}/native",
            "PULSE_RUNTIME_PATH": f"{self.folder}/run",
            "PULSE_STATE_PATH": f"{self.folder}/state",
            "PULSE_COOKIE": f"{self.folder}/cookie",
            "PULSE_CONFIG": f"{self.folder}/daemon.conf",
            "PULSE_CLIENTCONFIG": f"{self.folder}/client.conf",
            "ALSA_CONFIG_PATH": f"{self.folder}/asound.conf",
            "JACK_NO_START_SERVER": "1",
        }

    def start(self) -> None:
        """Write the configuration, start the server, wait until it answers. RuntimeError if it does not."""
        if (reason := why_not()) is not None:
            raise RuntimeError(reason)
        kinds = ((self._sample_rate, 2), (48000, 2), (self._sample_rate, 4))
        form, form_48k, form_four = (
            f"rate={rate} channels={channels} format=float32le norewinds=1" for rate, channels in kinds
        )
        (self.folder / "run").mkdir(mode=0o700)
        (self.folder / "state").mkdir(mode=0o700)
        (self.folder / "client.conf").write_text("autospawn = no\nenable-shm = yes\n")
        (self.folder / "daemon.conf").write_text(f"enable-remixing = {'yes' if self._remixing else 'no'}\n")
        script = _SERVER_SCRIPT.format(
            folder=self.folder,
            form=form,
            form_48k=form_48k,
            form_four=f"{form_four} channel_map={FOUR_CHANNELS}",
            microphone="source_properties=device.description=rt_mic",
        )
        (self.folder / "server.pa").write_text(script)
        devices = (_ALSA_DEVICE.format(name=name, device=at, text=text) for name, at, text in _ALSA_DEVICES)
        (self.folder / "asound.conf").write_text(_ALSA_HEAD + "".join(devices))
        server = ["pulseaudio", "-n", "-F", f"{self.folder}/server.pa", "--daemonize=no", "--use-pid-file=no"]
        server += ["--exit-idle-time=-1", "--disallow-exit", "--high-priority=no", "--realtime=no"]
        server += [f"--log-target=file:{self.folder}/pulse.log", "--log-level=notice"]
        self._supervisor = subprocess.Popen(
            ["sh", "-c", _SUPERVISOR, "supervisor", *server],
            env=os.environ | self.environment | {"folder": str(self.folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # control-C is for the tests; the server ends with its supervisor
        )
        self.restart()

    def restart(self) -> None:
        """End the server if it runs, start it again at the same place and wait until it answers."""
        self.kill()  # and see it gone, or the wait below could be answered by the old one
        self._order("start")
        if not self._wait_until(answering=True):
            log = self.folder / "pulse.log"
            text = log.read_text(errors="replace") if log.exists() else "(no log)"
            self.stop()
            raise RuntimeError(f"the virtual audio server does not answer: {text}")
        # Where the system permits it: no sound card waits for a processor, and a virtual one that does loses sound that
        # no player can save. Not earlier, since the server gives up any rank that it is started with.
        self._order("rank")

    def kill(self) -> None:
        """Let the server die without a word (SIGKILL), as when a user's audio server crashes."""
        self._order("kill")
        if not self._wait_until(answering=False):
            raise RuntimeError("the virtual audio server outlived SIGKILL")

    def stop(self) -> None:
        """End server and supervisor and remove the folder. May be called twice."""
        if self._supervisor is not None and self._supervisor.stdin is not None:
            self._supervisor.stdin.close()
            try:
                self._supervisor.wait(timeout=5)
            except subprocess.TimeoutExpired:
                os.killpg(self._supervisor.pid, signal.SIGKILL)
                self._supervisor.wait()
        self._supervisor = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def _order(self, order: str) -> None:
        if self._supervisor is None or self._supervisor.stdin is None:
            raise RuntimeError("the virtual audio server was never started")
        self._supervisor.stdin.write(f"{order}\n".encode())
        self._supervisor.stdin.flush()

    def _wait_until(self, answering: bool, limit_s: float = 10.0) -> bool:
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            if self._answers() == answering:
                return True
            time.sleep(0.05)
        return False

    def _answers(self) -> bool:
        environment = os.environ | self.environment
        try:
            probe = subprocess.run(["pactl", "info"], env=environment, capture_output=True, timeout=5)
        except subprocess.TimeoutExpired:
            return False
        return probe.returncode == 0
