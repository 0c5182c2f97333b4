//! Finding the file of a head that is published apart from its model.

use std::path::{Path, PathBuf};

/// Where the 3Di head of ProstT5 lies beside the model, in the order of trial: the names of the
/// repository of ProstT5, of phold and of Foldseek's conversion.
const PLACES: [&str; 10] = [
    "cnn/model.safetensors",
    "cnn/model.pt",
    "cnn/finetuned_model.pth",
    "cnn_chkpnt/model.pt",
    "cnn_chkpnt/AA_to_3Di_CNN.pt",
    "cnn_chkpnt_finetune/phrostt5_finetuned_cnn_head.pth",
    "cnn.safetensors",
    "cnn.pt",
    "model.pt",
    "finetuned_model.pth",
];

/// The head in a folder, if there is one.
pub(super) fn beside(directory: &Path) -> Option<PathBuf> {
    PLACES
        .iter()
        .map(|place| directory.join(place))
        .find(|path| path.is_file())
}
