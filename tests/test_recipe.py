"""The recipe file: strict, typed, and honest about what is wrong with it."""

from pathlib import Path

import pytest

from rtsep.errors import RtsepError
from rtsep.recipe import encode_network, load_recipe

GOOD = 'name = "x"\nnetwork = "rtsep.nn.constant:ConstantMask"\nstems = ["vocals", "instrumental"]\n'


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    return path


def test_what_is_left_out_has_its_default(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, GOOD))
    assert (recipe.stft.n_fft, recipe.stft.hop, recipe.stft.bins) == (4096, 1024, 1024)
    assert recipe.weights is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (GOOD + "chunks = 3\n", "chunks"),
        (GOOD + "[stft]\nhopp = 512\n", "hopp"),
        (GOOD + "[train]\nsteps = 'many'\n", r"\$\.train\.steps"),
        (GOOD + '[[train.data]]\nfolder = "a"\nlayout = "heap"\n', "layout"),
        (GOOD + "[stft]\nhop = 1000\n", "multiple of hop 1000"),
        (GOOD + "[stft]\nbins = 4000\n", "bins"),
        (GOOD + "[train]\nframes = 10\nwarmup_frames = 10\n", "warmup_frames"),
        (GOOD + "[train]\nbatch = 0\n", r"\$\.train\.batch"),
        (GOOD + "[train]\nema = 1.5\n", r"\$\.train\.ema"),
        (GOOD + "[[train.data]]\nfolder = 'a'\nlayout = 'stems'\nweight = -1\n", r"\$\.train\.data\[.*\]\.weight"),
        (GOOD + "[train]\nprecision = 'fp8'\n", "fp8"),
        (GOOD + "[train]\nchunks = []\n", "chunks"),
        (GOOD + "[train]\nfinal_rate = 1.0\n", "final_rate"),
        (GOOD + "[train]\nlatencies = ['none']\n", "none"),
        (GOOD + "[train]\nband_weights = [[200, 1], [100, 2]]\n", "band_weights"),
        (GOOD + "[train.losses]\nsharpness = 1\n", "sharpness"),
        (GOOD + "[train.losses]\nmagnitude = -1\n", r"losses .*\$\.train\.losses"),
        (GOOD + "[train.losses]\n", "one of them above 0"),
        (GOOD + "[train]\nremix_share = 0.5\n", "remix_share"),
        (GOOD + "[train.augment]\nremix_share = 1.5\n", r"\$\.train\.augment\.remix_share"),
        (GOOD + "[train.augment]\nechoes = 3\n", "echoes"),
        (GOOD.replace('"vocals"', '"kazoo"'), "kazoo"),
        (GOOD.replace('"instrumental"', '"vocals"'), "different names"),
        (GOOD.replace(":ConstantMask", ""), "package.module:Class"),
        (GOOD + "[live]\nframes = 4\nstride = 2\n", r"replaces \[window\]"),
        (GOOD + "[window]\nframes = 4\n", "stride"),
        ('name = "x"\n', "network"),
        ("name = \n", "recipe.toml"),
    ],
)
def test_a_mistake_is_named_with_the_file(tmp_path: Path, text: str, complaint: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(RtsepError, match=complaint) as caught:
        load_recipe(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


WINDOWS = (
    GOOD + '# café\n[[train.data]]\nlayout = "spleeter"\nfolder = "new\\table\\caf\\u00e9"\ntable = "a\\\\b.csv"\n'
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_recipe_written_on_windows_is_read(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_bytes(WINDOWS.replace("\n", "\r\n").encode(encoding))
    recipe = load_recipe(path)
    (source,) = recipe.train.data
    assert (recipe.name, source.folder, source.table) == ("x", "new/table/café", "a/b.csv")


def test_a_file_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_bytes(b'name = "\xff"')
    with pytest.raises(RtsepError, match="recipe.toml"):
        load_recipe(path)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RtsepError, match="cannot read "):
        load_recipe(tmp_path / "none.toml")


def test_the_network_header_ignores_how_the_weights_were_found(tmp_path: Path) -> None:
    plain = load_recipe(write(tmp_path, GOOD))
    trained = load_recipe(write(tmp_path, GOOD + "[train]\nsteps = 7\n"))
    other = load_recipe(write(tmp_path, GOOD + "[net]\ngains = [1.0, 0.0]\n"))
    assert encode_network(plain) == encode_network(trained) != encode_network(other)
