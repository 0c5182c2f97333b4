//! Structure states (3Di) of proteins.

use sessile_device::ModelIndex;
use sessile_pipelines::three_di::{self, Encoded};

use crate::error::Error;
use crate::open::Sessile;
use crate::watch::Watch;

impl Sessile {
    /// The structure states of every protein, in their order: 3Di, and the second alphabet of
    /// models that have it. Letters that the model does not know are its unknown token, as in the
    /// programs that it was published with.
    ///
    /// # Errors
    ///
    /// When the model has no head that scores 3Di, and what is wrong with a protein.
    ///
    /// # Examples
    ///
    /// ```
    /// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/prostt5/tiny");
    /// let model = sessile::Sessile::open(path)?;
    /// let states = model.states(&["MKTAYIAKQR"], &sessile::Watch::default())?;
    /// assert_eq!(states[0].three_di.states.len(), 10);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn states<S: AsRef<[u8]>>(
        &self,
        proteins: &[S],
        watch: &Watch,
    ) -> Result<Vec<Encoded>, Error> {
        let reader = self.reader(&[])?;
        let outputs = three_di::outputs(self.name(), &reader.info)?;
        let requests = proteins.iter().enumerate().map(|(record, protein)| {
            let letters = protein.as_ref().to_ascii_uppercase();
            match three_di::request(&reader.tokenizer, ModelIndex(0), outputs, &letters) {
                Ok(request) => ((record, None), Some(request)),
                Err(reason) => ((record, Some(reason)), None),
            }
        });
        let mut found = Vec::with_capacity(proteins.len());
        for ((record, reason), answer) in reader.pool.in_order(requests).until(watch.flag()) {
            let answer = match (answer, reason) {
                (Some(answer), _) => answer.map_err(|error| Error::of_request(record, error))?,
                (None, reason) => {
                    return Err(Error::of_record(record, reason.unwrap_or_default()));
                }
            };
            found.push(Encoded::from_output(&answer));
            watch.advance();
        }
        match watch.is_stopped() {
            true => Err(Error::interrupted()),
            false => Ok(found),
        }
    }
}
