"""Weights of a student: what runs where, in which number format, and GGUF made fast to load."""

import importlib.util
import os
import shutil
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import gguf
import torch
import transformers
from filelock import FileLock
from safetensors import SafetensorError
from transformers import modeling_gguf_pytorch_utils

from teichaku.core.errors import MissingExtraError, ModelUnavailableError, UserError

transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()


def choose_device(device: str) -> str:
    """``auto`` is CUDA where there is a usable one, else the processor."""
    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


def choose_dtype(device: str, dtype: str = "auto") -> torch.dtype:
    """The number format of the weights: bfloat16 where the hardware multiplies it natively.

    Elsewhere it is emulated and several times slower than float32. float16 is never chosen:
    it needs loss scaling to be trained in.
    """
    if dtype != "auto":
        chosen = getattr(torch, dtype, None)
        if not isinstance(chosen, torch.dtype):
            raise UserError(f"There is no number format '{dtype}'.", "Use bfloat16 or float32.")
        return chosen
    if device.startswith("cuda"):
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if native else torch.float32


def use_physical_cores() -> None:
    """One torch thread a physical core: two on one core share its arithmetic units.

    ``OMP_NUM_THREADS`` goes before it.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(_physical_cores())


def _physical_cores() -> int:
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    if usable is None:
        return max(1, (os.cpu_count() or 2) // 2)
    cores = set()
    for cpu in usable:
        siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        cores.add(siblings.read_text(encoding="ascii") if siblings.is_file() else str(cpu))
    return len(cores)


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer in ``folder``. Raises ``ModelUnavailableError`` where there is none."""
    try:
        return transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise _unreadable(folder, error) from error


def load_model(folder: Path, device: str, dtype: torch.dtype, quantization: str = "") -> Any:
    """The causal language model in ``folder``, for inference, on ``device``.

    Raises ``UserError`` for 4-bit weights without CUDA, ``ModelUnavailableError`` for a folder
    that holds no readable model.
    """
    use_physical_cores()
    extra = {}
    if quantization:
        extra = {"quantization_config": _four_bit(quantization, device, dtype)}
    try:
        model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, local_files_only=True, dtype=dtype, device_map=device, **extra
        )
    except (OSError, ValueError) as error:
        raise _unreadable(folder, error) from error
    # Rows cut out of the hidden states lie apart in memory, and torch would then copy the head
    # once a row (2.7 GB for 8 rows of Gemma 3 270M) instead of gathering the rows.
    head = model.get_output_embeddings()
    head.register_forward_pre_hook(lambda module, inputs: (inputs[0].contiguous(),))
    if quantization:
        import peft

        # Here and not in the trainer alone: what it casts to float32 changes the answers.
        model = peft.prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    model.requires_grad_(False)
    return model.eval()


def _four_bit(quantization: str, device: str, dtype: torch.dtype) -> Any:
    """The settings of QLoRA (Dettmers et al. 2023): NF4, twice quantized."""
    if quantization != "4bit":
        raise UserError(f"There is no quantization '{quantization}'.", "Use 4bit, or leave it out.")
    if not device.startswith("cuda"):
        raise UserError(
            "QLoRA (quantization: 4bit) needs an NVIDIA GPU with CUDA, and none is usable here.",
            "Leave out training.adapter.quantization (LoRA on the whole weights, which runs "
            "everywhere), or run on a machine with CUDA and pip install 'teichaku[train,cuda]'.",
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        raise MissingExtraError("QLoRA (quantization: 4bit)", "cuda")
    return transformers.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def as_safetensors(path: Path, kind: str, sha256: str, cache: Path) -> Path:
    """A folder that loads within seconds: ``path`` itself, or a GGUF file converted once.

    The converted weights lie in ``cache`` under their hash. Several processes may ask at once;
    an interrupted conversion leaves nothing that would be taken for a whole one.
    """
    if kind != "gguf":
        return path
    folder = cache / f"{path.stem}-{sha256[:16]}"
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            _convert(path, folder)
    return folder


def _convert(path: Path, folder: Path) -> None:
    aside = folder.with_name(f".{folder.name}.part")
    try:
        # Left over by an interrupted conversion; the lock is ours, so nobody is at it.
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        _convert_gguf(path, aside)
        aside.rename(folder)
    except OSError as error:
        raise UserError(
            f"{path} cannot be converted to {folder}: {error.strerror or error}.",
            "Make room on the disk (about four bytes a parameter), then run again.",
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _convert_gguf(path: Path, folder: Path) -> None:
    try:
        with _read_once_and_quietly():
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                path.parent, gguf_file=path.name, local_files_only=True
            )
            read = transformers.AutoModelForCausalLM.from_pretrained(
                path.parent, gguf_file=path.name, local_files_only=True, dtype=torch.float32
            )
    except (ImportError, LookupError, ValueError, struct.error) as error:
        raise ModelUnavailableError(
            f"{path.name} cannot be read for training: {error}",
            "Pull it again if it is damaged; or name the same model as a Hugging Face folder "
            "(safetensors).",
        ) from error
    # The model as read counts as quantized and refuses to be saved; a fresh one does not.
    settings = read.config.to_dict()
    for key in ("quantization_config", "dtype", "_name_or_path"):
        settings.pop(key, None)
    with torch.device("meta"):
        fresh = type(read)(type(read.config)(**settings))
    fresh.load_state_dict(read.state_dict(), assign=True)
    fresh.tie_weights()
    try:
        fresh.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    except Exception as error:
        # For a full disk safetensors has an error of its own, and tokenizers a bare one.
        if type(error) in (Exception, SafetensorError):
            raise OSError(str(error)) from error
        raise


@contextmanager
def _read_once_and_quietly() -> Iterator[None]:
    """Let ``transformers`` parse the file's header once instead of three times.

    The header holds the vocabulary; with 262,144 entries each parsing takes many seconds. Its
    progress bar cannot be turned off otherwise.
    """
    reader, bar = gguf.GGUFReader, modeling_gguf_pytorch_utils.tqdm
    gguf.GGUFReader = lru_cache(maxsize=1)(reader)
    modeling_gguf_pytorch_utils.tqdm = partial(bar, disable=True)
    try:
        yield
    finally:
        gguf.GGUFReader, modeling_gguf_pytorch_utils.tqdm = reader, bar


def _unreadable(folder: Path, error: Exception) -> ModelUnavailableError:
    return ModelUnavailableError(
        f"{folder} holds no model that can be loaded: {error}",
        "It must be a folder in the Hugging Face format (config.json, safetensors, tokenizer).",
    )
