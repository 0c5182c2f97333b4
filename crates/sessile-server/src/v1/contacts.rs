//! `POST /v1/contacts`.

use serde::Serialize;
use sessile_device::{Output, OutputKind, OutputSet};
use utoipa::ToSchema;

use super::input::{Masked, Sequences};
use super::numbers::{EncodingFormat, Numbers};
use super::passes::{NumbersOf, Pass, tensor};
use super::request::{Request, request};
use crate::failure::Failure;
use crate::service::{Engine, ServedModel};

request! {
    /// A request for contact probabilities.
    ContactsRequest {
        /// The sequences.
        pub(crate) input: Sequences,
        /// How the numbers are sent.
        #[schema(default = "float")]
        pub(crate) encoding_format: Option<EncodingFormat>,
    }
}

/// The contact probabilities of an item.
#[derive(Serialize, ToSchema)]
pub(crate) struct ContactsItem {
    /// `contacts`.
    object: &'static str,
    /// The item's place in the request.
    index: usize,
    /// Residues and residues.
    shape: Vec<usize>,
    /// The probabilities, a row per residue.
    pub(crate) contacts: Numbers,
}

/// `POST /v1/contacts`.
pub(crate) struct Contacts {
    format: EncodingFormat,
}

impl Pass for Contacts {
    const PATH: &'static str = "/v1/contacts";
    const SUMMARY: &'static str = "Probability of a contact for every pair of residues";
    const OUTPUT: OutputKind = OutputKind::Contacts;

    const NUMBERS: Option<NumbersOf<ContactsItem>> =
        Some(("contacts", |item| item.contacts.into_tensor()));

    type Kind = Masked;
    type Request = ContactsRequest;
    type Item = ContactsItem;

    fn input(request: &ContactsRequest) -> &Sequences {
        &request.input
    }

    fn new<'e>(
        engine: &'e Engine,
        request: &ContactsRequest,
    ) -> Result<(Self, &'e ServedModel), Failure> {
        let model = engine.model_for(Self::OUTPUT, request.model())?;
        let format = request.encoding_format.unwrap_or_default();
        Ok((Contacts { format }, model))
    }

    fn outputs(&self) -> OutputSet {
        OutputSet::default().with(Self::OUTPUT)
    }

    fn numbers(&self, tokens: usize) -> usize {
        tokens * tokens
    }

    fn item(&self, index: usize, output: Output) -> Result<ContactsItem, Failure> {
        let contacts = Numbers::new(tensor(&output, Self::OUTPUT)?, self.format);
        Ok(ContactsItem {
            object: "contacts",
            index,
            shape: contacts.shape().to_vec(),
            contacts,
        })
    }
}
