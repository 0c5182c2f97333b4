//! How fast the processor is in each number format: measured once on a machine, and kept.
//!
//! What is kept is named after the processor, the instruction set and the version of the program,
//! so that a home directory may be shared by machines of all kinds. A machine that can not keep it
//! measures again, which takes some milliseconds.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use sessile_cpu::{Isa, Rates, processor_name};
use sessile_device::DeviceError;

/// The rates of this machine's processor with the kernels of `isa`, the same all through the life of
/// a process.
///
/// # Errors
///
/// What keeps them from being measured.
pub(crate) fn of_processor(isa: Isa) -> Result<Rates, DeviceError> {
    static KNOWN: OnceLock<(Isa, Rates)> = OnceLock::new();
    if let Some((known, rates)) = KNOWN.get()
        && *known == isa
    {
        return Ok(*rates);
    }
    let rates = kept(folder().as_deref(), isa, || Rates::measure(isa))?;
    Ok(KNOWN.get_or_init(|| (isa, rates)).1)
}

/// Where they are kept: `sessile` below `XDG_CACHE_HOME` or `~/.cache`.
fn folder() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let cache = set("XDG_CACHE_HOME").map(PathBuf::from);
    let user = || set("HOME").map(|home| PathBuf::from(home).join(".cache"));
    Some(cache.or_else(user)?.join("sessile"))
}

/// What is kept in `folder`, or what `measure` says, which is then kept.
fn kept(
    folder: Option<&Path>,
    isa: Isa,
    measure: impl FnOnce() -> Result<Rates, DeviceError>,
) -> Result<Rates, DeviceError> {
    let Some(folder) = folder else {
        return measure();
    };
    let path = folder.join(file_name(isa));
    if let Some(rates) = fs::read_to_string(&path).ok().as_deref().and_then(parse) {
        return Ok(rates);
    }
    let rates = measure()?;
    if let Err(error) = keep(&path, rates) {
        tracing::debug!(%error, path = %path.display(), "the processor's rates are not kept");
    }
    Ok(rates)
}

/// A name for the processor, the instruction set and the version.
fn file_name(isa: Isa) -> String {
    let name = format!("{} {isa} {}", processor_name(), env!("CARGO_PKG_VERSION"));
    let words = name
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '.')
        .filter(|word| !word.is_empty());
    format!(
        "rates-{}",
        words.collect::<Vec<_>>().join("-").to_lowercase()
    )
}

fn parse(text: &str) -> Option<Rates> {
    let rate = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let rate: f64 = line.trim().parse().ok()?;
        (rate.is_finite() && rate > 0.0).then_some(rate)
    };
    Some(Rates {
        f32: rate("f32 ")?,
        bf16: rate("bf16 ")?,
    })
}

/// Writes them whole or not at all.
fn keep(path: &Path, rates: Rates) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let text = format!("f32 {:.4e}\nbf16 {:.4e}\n", rates.f32, rates.bf16);
    fs::write(&temporary, text)?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Rates = Rates {
        f32: 2e11,
        bf16: 1.5e11,
    };
    const SECOND: Rates = Rates {
        f32: 1e11,
        bf16: 9e11,
    };

    #[test]
    fn what_was_measured_first_stays() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("not").join("yet");
        assert_eq!(kept(Some(&inside), Isa::Avx2, || Ok(FIRST)).unwrap(), FIRST);
        assert_eq!(
            kept(Some(&inside), Isa::Avx2, || Ok(SECOND)).unwrap(),
            FIRST
        );
        // Other kernels are other rates.
        assert_eq!(
            kept(Some(&inside), Isa::Amx, || Ok(SECOND)).unwrap(),
            SECOND
        );
    }

    #[test]
    fn a_broken_file_is_measured_again_and_mended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(file_name(Isa::Avx2));
        for text in [
            "",
            "f32 1e11\n",
            "f32 fast\nbf16 1e11\n",
            "f32 -1\nbf16 inf\n",
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!(
                kept(Some(folder.path()), Isa::Avx2, || Ok(FIRST)).unwrap(),
                FIRST
            );
            assert_eq!(parse(&fs::read_to_string(&path).unwrap()), Some(FIRST));
        }
    }

    #[test]
    fn a_machine_that_keeps_nothing_measures() {
        assert_eq!(kept(None, Isa::Avx2, || Ok(FIRST)).unwrap(), FIRST);
        let file = tempfile::NamedTempFile::new().unwrap();
        let below_a_file = file.path().join("sessile");
        assert_eq!(
            kept(Some(&below_a_file), Isa::Avx2, || Ok(FIRST)).unwrap(),
            FIRST
        );
    }

    #[test]
    fn a_process_has_one_answer() {
        let isa = Isa::detect().unwrap();
        let first = of_processor(isa).unwrap();
        assert_eq!(of_processor(isa).unwrap(), first);
    }
}
