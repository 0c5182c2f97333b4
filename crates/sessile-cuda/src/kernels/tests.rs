use super::*;

/// The names of the kernels that an image holds: the symbols of a cubin, the entries of PTX.
fn has_kernel(image: &[u8], target: Target, name: &str) -> bool {
    let text = String::from_utf8_lossy(image);
    match target {
        Target::Compute80 => text.contains(&format!(".entry {name}(")),
        // Every kernel has a section of code of its own.
        _ => text.contains(&format!("\0.text.{name}\0")),
    }
}

#[test]
fn every_kernel_is_in_every_image() {
    for image in &IMAGES {
        let names = names::of(image.name);
        assert!(!names.is_empty(), "{}", image.name);
        for target in Target::ALL {
            let code = image.open(target).unwrap();
            let expected: &[u8] = match target {
                Target::Compute80 => b"//",
                _ => b"\x7fELF",
            };
            assert!(
                code.starts_with(expected),
                "{} {}",
                image.name,
                target.name()
            );
            for name in names {
                assert!(
                    has_kernel(&code, target, name),
                    "{name} for {}",
                    target.name()
                );
            }
        }
    }
}

#[test]
fn a_changed_source_is_compiled_again() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/kernels");
    let read = |name: &str| std::fs::read(format!("{folder}/{name}")).unwrap();
    let manifest = String::from_utf8(read("built/manifest.txt")).unwrap();
    let prelude = read("prelude.cuh");
    let mut sources = 0;
    for line in manifest.lines() {
        if let Some(("source", rest)) = line.split_once(' ') {
            let (name, hash) = rest.split_once(' ').unwrap();
            let mut hasher = blake3::Hasher::new();
            hasher.update(&prelude);
            hasher.update(&read(&format!("{name}.cu")));
            assert!(
                hasher.finalize().to_hex().as_str() == hash,
                "{name}.cu or prelude.cuh has changed: run `cargo xtask kernels`"
            );
            sources += 1;
        }
    }
    assert_eq!(sources, IMAGES.len());
    for image in &IMAGES {
        for target in Target::ALL {
            let hash = blake3::hash(&image.open(target).unwrap()).to_hex();
            let line = format!("image {}.{} {hash}", image.name, target.name());
            assert!(manifest.lines().any(|found| found == line), "{line}");
        }
    }
}

#[test]
fn every_gpu_has_its_target() {
    let cases = [
        ((8, 0), Target::Sm80),
        ((8, 6), Target::Sm86),
        ((8, 7), Target::Compute80),
        ((8, 9), Target::Sm89),
        ((9, 0), Target::Sm90a),
        ((10, 0), Target::Compute80),
        ((12, 0), Target::Compute80),
        ((15, 3), Target::Compute80),
    ];
    for (capability, target) in cases {
        assert_eq!(Target::of(capability), target, "{capability:?}");
    }
}
