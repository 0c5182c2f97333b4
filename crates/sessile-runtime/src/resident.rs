//! What a pool holds: models, each with what it does.

use sessile_models::Model;

/// A model of a pool, by what it does there.
///
/// A reference to a [`Model`] becomes the usual one: it reads if it can. ProstT5 can do both; as
/// `Writes` its decoder is loaded, too.
#[derive(Clone, Copy)]
pub enum Resident<'a> {
    /// It answers a sequence with one pass over it.
    Reads(&'a Model),
    /// It writes a text token by token.
    Writes(&'a Model),
}

impl<'a> Resident<'a> {
    /// The model.
    pub fn files(self) -> &'a Model {
        let (Resident::Reads(files) | Resident::Writes(files)) = self;
        files
    }
}

impl<'a> From<&'a Model> for Resident<'a> {
    fn from(model: &'a Model) -> Self {
        if model.description().encodes {
            Resident::Reads(model)
        } else {
            Resident::Writes(model)
        }
    }
}

/// The models of a call.
pub(crate) fn all<'a>(models: impl IntoIterator<Item: Into<Resident<'a>>>) -> Vec<Resident<'a>> {
    models.into_iter().map(Into::into).collect()
}
