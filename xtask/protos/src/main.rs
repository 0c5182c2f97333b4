//! `cargo run --manifest-path xtask/protos/Cargo.toml`: makes Rust of the service's protocol buffers,
//! and the descriptors that reflection gives out.

use std::path::Path;

use prost::Message as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/sessile-server");
    let protos = server.join("proto");
    let made = server.join("src/grpc/made");
    std::fs::create_dir_all(&made)?;
    let files = ["open_inference.proto", "sessile.proto"];
    let descriptors = protox::compile(files, [&protos])?;
    std::fs::write(made.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .build_client(false)
        .build_transport(false)
        .out_dir(&made)
        .compile_fds(descriptors)?;
    Ok(())
}
