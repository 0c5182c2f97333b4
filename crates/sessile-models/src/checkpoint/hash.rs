//! One number for everything a checkpoint holds.
//!
//! Pieces of tensors are hashed by all threads at once, then the digests are hashed in the order of
//! the tensors' names together with names, shapes and formats. Which files the tensors lie in makes
//! no difference.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::file::{WeightFile, unreadable};
use super::tensor::TensorInfo;
use crate::error::ModelError;

/// What one thread hashes at a time. Part of the definition of the hash.
const PIECE_BYTES: usize = 16 << 20;

/// What one thread reads at a time; stays in its cache until it is hashed.
const STAGING_BYTES: usize = 256 << 10;

/// Begins every hash, so that a change of its definition changes all of them.
const DEFINITION: &[u8] = b"sessile checkpoint 1";

/// More threads than this only wait for memory.
const MAX_THREADS: usize = 16;

/// A part of a tensor: which one, first element, number of elements.
struct Piece<'a> {
    info: &'a TensorInfo,
    first: usize,
    elements: usize,
}

pub(crate) fn content_hash(
    files: &[WeightFile],
    tensors: &BTreeMap<String, TensorInfo>,
) -> Result<String, ModelError> {
    let pieces: Vec<Piece<'_>> = tensors.values().flat_map(pieces).collect();
    let digests = digests(files, &pieces)?;
    let mut digests = digests.iter();
    let mut hasher = blake3::Hasher::new();
    hasher.update(DEFINITION);
    for (name, info) in tensors {
        tensor(&mut hasher, name, info);
        for digest in digests.by_ref().take(self::pieces(info).count()) {
            hasher.update(digest);
        }
    }
    Ok(hasher.finalize().to_hex().to_string())
}

/// The same of names, shapes and formats alone, which needs no reading.
pub(super) fn layout(tensors: &BTreeMap<String, TensorInfo>) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(DEFINITION);
    for (name, info) in tensors {
        tensor(&mut hasher, name, info);
    }
    hasher.finalize().to_hex().to_string()
}

fn tensor(hasher: &mut blake3::Hasher, name: &str, info: &TensorInfo) {
    number(hasher, name.len());
    hasher.update(name.as_bytes());
    hasher.update(info.dtype.name().as_bytes());
    number(hasher, info.shape.len());
    for &length in &info.shape {
        number(hasher, length);
    }
}

fn number(hasher: &mut blake3::Hasher, number: usize) {
    hasher.update(&(number as u64).to_le_bytes());
}

fn pieces(info: &TensorInfo) -> impl Iterator<Item = Piece<'_>> {
    let elements = info.elements();
    let step = PIECE_BYTES / info.dtype.size();
    (0..elements).step_by(step).map(move |first| Piece {
        info,
        first,
        elements: step.min(elements - first),
    })
}

fn digests(files: &[WeightFile], pieces: &[Piece<'_>]) -> Result<Vec<[u8; 32]>, ModelError> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(vec![[0; 32]; pieces.len()]);
    let worker = || -> Result<(), ModelError> {
        let mut staging = vec![0; STAGING_BYTES];
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(piece) = pieces.get(index) else {
                return Ok(());
            };
            let file = &files[piece.info.file];
            let digest = digest(file, piece, &mut staging).inspect_err(|_| {
                // The others need not finish what is of no use any more.
                next.store(pieces.len(), Ordering::Relaxed);
            })?;
            done.lock().unwrap_or_else(PoisonError::into_inner)[index] = digest;
        }
    };
    let threads = thread::available_parallelism()
        .map_or(1, usize::from)
        .min(MAX_THREADS);
    let others = threads.min(pieces.len()).saturating_sub(1);
    thread::scope(|scope| {
        // Threads that the system does not give are missed by nobody: the others do the work.
        let others: Vec<_> = (0..others)
            .filter_map(|_| thread::Builder::new().spawn_scoped(scope, worker).ok())
            .collect();
        let mut result = worker();
        for other in others {
            let other = other
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            result = result.and(other);
        }
        result
    })?;
    Ok(done.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn digest(
    file: &WeightFile,
    piece: &Piece<'_>,
    staging: &mut [u8],
) -> Result<[u8; 32], ModelError> {
    let size = piece.info.dtype.size();
    let mut hasher = blake3::Hasher::new();
    let mut done = 0;
    while done < piece.elements {
        let elements = (staging.len() / size).min(piece.elements - done);
        let bytes = &mut staging[..elements * size];
        piece
            .info
            .place
            .read(file, &piece.info.shape, size, piece.first + done, bytes)
            .map_err(|error| unreadable(file.path(), error))?;
        hasher.update(bytes);
        done += elements;
    }
    Ok(hasher.finalize().into())
}
