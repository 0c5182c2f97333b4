//! A record as JSON: genome_entropy's unified layout in its schemas 2.2.0 and 2.0.0.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::ser::{Serialize, SerializeMap, SerializeStruct, Serializer};
use sessile_seq::entropy::{mutual_information, shannon};

use super::genome::{FoundOrf, Genome};

/// A layout that genome_entropy has given a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SchemaVersion {
    /// Of genome_entropy 0.1: no second alphabet, and coding sequences by their last residues.
    V2_0,
    /// With the second alphabet, and coding sequences by their place.
    #[default]
    V2_2,
}

impl SchemaVersion {
    /// Its number.
    pub const fn number(self) -> &'static str {
        match self {
            SchemaVersion::V2_0 => "2.0.0",
            SchemaVersion::V2_2 => "2.2.0",
        }
    }
}

impl fmt::Display for SchemaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.number())
    }
}

/// Not a schema that can be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseSchemaError(String);

impl fmt::Display for ParseSchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown schema `{}` (2.2.0, 2.0.0)", self.0)
    }
}

impl std::error::Error for ParseSchemaError {}

impl FromStr for SchemaVersion {
    type Err = ParseSchemaError;

    /// # Examples
    ///
    /// ```
    /// use sessile_pipelines::entropy::SchemaVersion;
    ///
    /// assert_eq!("2.0.0".parse(), Ok(SchemaVersion::V2_0));
    /// assert!("3".parse::<SchemaVersion>().is_err());
    /// ```
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [SchemaVersion::V2_0, SchemaVersion::V2_2]
            .into_iter()
            .find(|version| version.number() == text.trim())
            .ok_or_else(|| ParseSchemaError(text.to_owned()))
    }
}

/// With what structure states were found, for the rows that have them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateOrigin {
    /// How: the kind of model and head.
    pub method: String,
    /// The model as it was named.
    pub model: String,
    /// The kinds of devices.
    pub device: String,
}

/// How records are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Which schema.
    pub schema: SchemaVersion,
    /// Leave the entropies out.
    pub skip_entropy: bool,
    /// As genome_entropy itself: 0 for entropies that were left out, no alphabets where nothing was
    /// computed of them, the second alphabet behind the entropies. Schema 2.0 has no other way.
    pub as_genome_entropy: bool,
    /// Where structure states come from, if there are any.
    pub origin: Option<StateOrigin>,
}

impl Layout {
    /// A record that can be serialised.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_pipelines::entropy::{Annotation, Genome, Layout, OrfRule};
    /// use sessile_seq::genetic_code::GeneticCode;
    ///
    /// let (code, rule) = (GeneticCode::STANDARD, OrfRule::Residues(3));
    /// let genome = Genome::find("toy", b"ATGAAACCCTAA".to_vec(), code, rule, Annotation::None)?;
    /// let json = serde_json::to_value(Layout::default().document(&genome))?;
    /// assert_eq!(json["features"]["orf1"]["protein"]["aa_sequence"], "MKP");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn document<'a>(&'a self, genome: &'a Genome) -> impl Serialize + 'a {
        Document {
            genome,
            layout: self,
        }
    }

    /// Whether nothing is 0 here, and not null.
    fn has_zeros(&self) -> bool {
        self.as_genome_entropy || self.schema == SchemaVersion::V2_0
    }

    /// The entropies of an ORF under this layout.
    pub fn entropies(&self, orf: &FoundOrf<'_>) -> Entropies {
        if self.skip_entropy {
            return Entropies::default();
        }
        let states = orf.states();
        let twelve = states.and_then(|states| states.twelve_state.as_deref());
        Entropies {
            dna: Some(shannon(orf.nucleotides().as_bytes())),
            protein: Some(shannon(orf.residues().as_bytes())),
            three_di: states.map(|states| shannon(states.three_di.as_bytes())),
            twelve_state: twelve.map(|twelve| shannon(twelve.as_bytes())),
            shared: states.zip(twelve).and_then(|(states, twelve)| {
                mutual_information(states.three_di.as_bytes(), twelve.as_bytes()).ok()
            }),
        }
    }
}

/// What is computed of an ORF, in bits; `None`: not computed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Entropies {
    /// Of its bases.
    pub dna: Option<f64>,
    /// Of its residues, the stop left out.
    pub protein: Option<f64>,
    /// Of its 3Di states.
    pub three_di: Option<f64>,
    /// Of its states in the second alphabet.
    pub twelve_state: Option<f64>,
    /// Mutual information of the two.
    pub shared: Option<f64>,
}

struct Document<'a> {
    genome: &'a Genome,
    layout: &'a Layout,
}

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Document { genome, layout } = *self;
        let is_old = layout.schema == SchemaVersion::V2_0;
        let mut record = serializer.serialize_struct("Record", 6)?;
        record.serialize_field("schema_version", layout.schema.number())?;
        record.serialize_field("input_id", genome.id())?;
        record.serialize_field("input_dna_length", &genome.length())?;
        let entropy = (!layout.skip_entropy).then(|| genome.dna_entropy());
        let has_zeros = layout.has_zeros();
        record.serialize_field("dna_entropy_global", &or_zero(entropy, has_zeros))?;
        let has_alphabets = !has_zeros || (!layout.skip_entropy && !genome.is_empty());
        let alphabets: BTreeMap<Alphabet, u32> = Alphabet::ALL
            .into_iter()
            .filter(|(alphabet, _)| {
                has_alphabets && !(is_old && *alphabet == Alphabet::TwelveState)
            })
            .collect();
        record.serialize_field("alphabet_sizes", &alphabets)?;
        record.serialize_field("features", &Features { genome, layout })?;
        record.end()
    }
}

/// The alphabets in the order in which a record names them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
enum Alphabet {
    Dna,
    Protein,
    ThreeDi,
    TwelveState,
}

impl Alphabet {
    const ALL: [(Alphabet, u32); 4] = [
        (Alphabet::Dna, 4),
        (Alphabet::Protein, 20),
        (Alphabet::ThreeDi, 20),
        (Alphabet::TwelveState, 12),
    ];
}

/// What was not computed is null, or 0 where a layout has it so.
fn or_zero(value: Option<f64>, has_zeros: bool) -> Option<f64> {
    match has_zeros {
        true => Some(value.unwrap_or(0.0)),
        false => value,
    }
}

struct Features<'a> {
    genome: &'a Genome,
    layout: &'a Layout,
}

impl Serialize for Features<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut features = serializer.serialize_map(Some(self.genome.len()))?;
        for orf in self.genome.orfs() {
            let id = orf.id();
            let layout = self.layout;
            features.serialize_entry(
                &id,
                &Feature {
                    id: &id,
                    orf,
                    layout,
                },
            )?;
        }
        features.end()
    }
}

struct Feature<'a> {
    id: &'a str,
    orf: FoundOrf<'a>,
    layout: &'a Layout,
}

impl Serialize for Feature<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Feature { id, orf, layout } = self;
        let is_old = layout.schema == SchemaVersion::V2_0;
        let mut feature = serializer.serialize_struct("Feature", 8)?;
        feature.serialize_field("orf_id", id)?;
        feature.serialize_field(
            "location",
            &Location {
                start: orf.start(),
                end: orf.end(),
                strand: orf.frame().strand().to_string(),
                frame: orf.frame().number(),
            },
        )?;
        let nt_sequence = orf.nucleotides();
        let length = nt_sequence.len();
        feature.serialize_field(
            "dna",
            &Dna {
                nt_sequence,
                length,
            },
        )?;
        let aa_sequence = orf.residues();
        let length = aa_sequence.len();
        feature.serialize_field(
            "protein",
            &Protein {
                aa_sequence,
                length,
            },
        )?;
        let states = orf.states();
        let origin = layout.origin.as_ref();
        let three_di = states.map(|states| ThreeDi {
            encoding: &states.three_di,
            length: states.three_di.len(),
            method: origin.map(|origin| origin.method.as_str()),
            model_name: origin.map(|origin| origin.model.as_str()),
            inference_device: origin.map(|origin| origin.device.as_str()),
        });
        feature.serialize_field("three_di", &three_di)?;
        let twelve = states.and_then(|states| states.twelve_state.as_deref());
        let twelve = twelve.map(|encoding| TwelveState {
            encoding,
            length: encoding.len(),
        });
        if !is_old && !layout.as_genome_entropy {
            feature.serialize_field("twelve_state", &twelve)?;
        }
        feature.serialize_field(
            "metadata",
            &Metadata {
                parent_id: orf.genome().id(),
                table_id: orf.genome().code().id(),
                has_start_codon: orf.has_start(),
                has_stop_codon: orf.has_stop(),
                in_genbank: orf.in_genbank(),
            },
        )?;
        let entropies = layout.entropies(orf);
        let has_zeros = layout.has_zeros() && layout.skip_entropy;
        let value = |value| or_zero(value, has_zeros);
        if is_old {
            feature.serialize_field(
                "entropy",
                &OldEntropy {
                    dna_entropy: value(entropies.dna),
                    protein_entropy: value(entropies.protein),
                    three_di_entropy: value(entropies.three_di),
                },
            )?;
        } else {
            feature.serialize_field(
                "entropy",
                &Entropy {
                    dna_entropy: value(entropies.dna),
                    protein_entropy: value(entropies.protein),
                    three_di_entropy: value(entropies.three_di),
                    twelve_state_entropy: entropies.twelve_state,
                    three_di_twelve_state_mutual_information: entropies.shared,
                },
            )?;
        }
        if !is_old && layout.as_genome_entropy {
            feature.serialize_field("twelve_state", &twelve)?;
        }
        feature.end()
    }
}

/// "Has a start codon" means in genome_entropy's layouts that there is an M somewhere …
pub(super) fn has_start(protein: &str) -> bool {
    protein.contains('M')
}

/// … and "has a stop codon" that there is a `*`.
pub(super) fn has_stop(protein: &str) -> bool {
    protein.contains('*')
}

#[derive(serde::Serialize)]
struct Location {
    start: usize,
    end: usize,
    strand: String,
    frame: u8,
}

#[derive(serde::Serialize)]
struct Dna<'a> {
    nt_sequence: &'a str,
    length: usize,
}

#[derive(serde::Serialize)]
struct Protein<'a> {
    aa_sequence: &'a str,
    length: usize,
}

#[derive(serde::Serialize)]
struct ThreeDi<'a> {
    encoding: &'a str,
    length: usize,
    method: Option<&'a str>,
    model_name: Option<&'a str>,
    inference_device: Option<&'a str>,
}

#[derive(serde::Serialize)]
struct TwelveState<'a> {
    encoding: &'a str,
    length: usize,
}

#[derive(serde::Serialize)]
struct Metadata<'a> {
    parent_id: &'a str,
    table_id: u8,
    has_start_codon: bool,
    has_stop_codon: bool,
    in_genbank: bool,
}

#[derive(serde::Serialize)]
struct OldEntropy {
    dna_entropy: Option<f64>,
    protein_entropy: Option<f64>,
    three_di_entropy: Option<f64>,
}

#[derive(serde::Serialize)]
struct Entropy {
    dna_entropy: Option<f64>,
    protein_entropy: Option<f64>,
    three_di_entropy: Option<f64>,
    twelve_state_entropy: Option<f64>,
    three_di_twelve_state_mutual_information: Option<f64>,
}
