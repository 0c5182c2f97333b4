//! KServe's Open Inference Protocol, version 2: tensors in, tensors out.
//!
//! A model that reads has one input, `sequences` (BYTES, `[n]`), and an output for each thing that it
//! gives: the vectors `mean` (without a choice), `mean_all` and `cls` (FP32, `[n, columns]`), of one
//! sequence also `logits` and `contacts` (FP32, `[rows, columns]`), and of models with a head `three_di`
//! (BYTES, `[n]`). One that writes has the input `texts` and the output `summary` (BYTES, `[n]`). All items
//! are answered or none: a tensor has no room for what is wrong with one.

use std::sync::Arc;

use sessile_device::{HostTensor, OutputKind};
use tonic::{Request, Response, Status, async_trait};

use super::call::Caller;
use super::made::inference as pb;
use super::made::inference::grpc_inference_service_server::GrpcInferenceService;
use super::made::inference::infer_parameter::ParameterChoice;
use super::made::inference::model_infer_response::InferOutputTensor;
use super::made::inference::model_metadata_response::TensorMetadata;
use crate::failure::{Failure, FailureKind};
use crate::health;
use crate::service::{Engine, Service, shortened};
use crate::v1::{
    Contacts, ContactsRequest, Embeddings, EmbeddingsRequest, Logits, LogitsRequest, Pooling, Post,
    Summarize, ThreeDi, ThreeDiRequest, Writing, WritingRequest,
};

/// Every version of a model is this one.
const VERSION: &str = "1";

/// The service.
pub(super) struct Inference(Arc<Service>);

impl Inference {
    pub(super) fn new(service: Arc<Service>) -> Self {
        Inference(service)
    }
}

/// What a model can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Vectors(Pooling),
    Logits,
    Contacts,
    States,
    Summary,
}

/// Every output: its name, what of a model it needs, and what it is.
const OUTPUTS: [(&str, Option<OutputKind>, Wanted); 7] = [
    (
        "mean",
        Some(OutputKind::Mean),
        Wanted::Vectors(Pooling::Mean),
    ),
    (
        "mean_all",
        Some(OutputKind::MeanAll),
        Wanted::Vectors(Pooling::MeanAll),
    ),
    ("cls", Some(OutputKind::Cls), Wanted::Vectors(Pooling::Cls)),
    ("logits", Some(OutputKind::Logits), Wanted::Logits),
    ("contacts", Some(OutputKind::Contacts), Wanted::Contacts),
    ("three_di", Some(OutputKind::ThreeDi), Wanted::States),
    ("summary", None, Wanted::Summary),
];

impl Wanted {
    /// Type and shape; -1 for what depends on the input.
    fn tensor(self, columns: usize) -> (&'static str, Vec<i64>) {
        match self {
            Wanted::Vectors(_) => ("FP32", vec![-1, columns as i64]),
            Wanted::Logits | Wanted::Contacts => ("FP32", vec![-1, -1]),
            Wanted::States | Wanted::Summary => ("BYTES", vec![-1]),
        }
    }
}

/// A model as this protocol knows it.
struct Known {
    input: &'static str,
    platform: String,
    outputs: Vec<(&'static str, Wanted)>,
    columns: usize,
}

impl Known {
    fn find(engine: &Engine, name: &str) -> Result<Self, Failure> {
        let writer = engine.writer.iter().find(|writer| writer.name == name);
        if let Some(writer) = writer {
            let writes = OUTPUTS.iter().filter(|(_, needs, _)| needs.is_none());
            return Ok(Known {
                input: "texts",
                platform: format!("sessile_{}", writer.info.architecture),
                outputs: writes
                    .filter(|_| writer.writes_summaries)
                    .map(|&(name, _, wanted)| (name, wanted))
                    .collect(),
                columns: 0,
            });
        }
        let model = engine.named(name)?;
        let has = |needs: &Option<OutputKind>| needs.is_some_and(|output| model.has(output));
        Ok(Known {
            input: "sequences",
            platform: format!("sessile_{}", model.info.architecture),
            outputs: OUTPUTS
                .iter()
                .filter(|(_, needs, _)| has(needs))
                .map(|&(name, _, wanted)| (name, wanted))
                .collect(),
            columns: model.info.hidden,
        })
    }

    /// What is meant by the name of an output.
    fn output(&self, name: &str) -> Result<(&'static str, Wanted), Failure> {
        let found = self.outputs.iter().find(|(known, _)| *known == name);
        found.copied().ok_or_else(|| {
            let names: Vec<_> = self.outputs.iter().map(|(name, _)| *name).collect();
            let message = format!(
                "the model has no output `{}`; it has {}",
                shortened(name),
                names.join(", ")
            );
            Failure::invalid("outputs", message)
        })
    }
}

/// The texts of the one input.
fn texts(known: &Known, request: &mut pb::ModelInferRequest) -> Result<Vec<String>, Failure> {
    let invalid = |message: String| Failure::invalid("inputs", message);
    let wanted = known.input;
    let [input] = &mut request.inputs[..] else {
        let count = request.inputs.len();
        return Err(invalid(format!(
            "there are {count} inputs; the model has one, `{wanted}`"
        )));
    };
    if input.name != wanted {
        let name = shortened(&input.name);
        return Err(invalid(format!(
            "the model has no input `{name}`; it has `{wanted}`"
        )));
    }
    if input.datatype != "BYTES" {
        let kind = shortened(&input.datatype);
        return Err(invalid(format!("`{wanted}` is of type BYTES, not {kind}")));
    }
    let items: Vec<Vec<u8>> = match (&request.raw_input_contents[..], input.contents.take()) {
        ([raw], None) => elements(raw).map_err(|message| invalid(message.to_owned()))?,
        ([], Some(contents)) => contents.bytes_contents,
        ([], None) => Vec::new(),
        _ => {
            let message = "give either `contents` or one of `raw_input_contents`";
            return Err(invalid(message.to_owned()));
        }
    };
    let said = input
        .shape
        .iter()
        .try_fold(1_i64, |all, &side| all.checked_mul(side));
    if said != i64::try_from(items.len()).ok() {
        let (shape, count) = (&input.shape, items.len());
        return Err(invalid(format!(
            "the shape {shape:?} does not fit {count} texts"
        )));
    }
    let text =
        |bytes| String::from_utf8(bytes).map_err(|_| invalid("a text is not UTF-8".to_owned()));
    items.into_iter().map(text).collect()
}

/// Texts behind each other, each after its length in four bytes, the least first.
fn elements(mut raw: &[u8]) -> Result<Vec<Vec<u8>>, &'static str> {
    let mut items = Vec::new();
    while !raw.is_empty() {
        let (length, rest) = raw.split_first_chunk().ok_or("a length is cut off")?;
        let length = u32::from_le_bytes(*length) as usize;
        let (item, rest) = rest.split_at_checked(length).ok_or("a text is cut off")?;
        items.push(item.to_vec());
        raw = rest;
    }
    Ok(items)
}

/// A tensor as it goes out: type, shape, bytes.
type Tensor = (&'static str, Vec<i64>, Vec<u8>);

fn bytes(texts: Vec<String>) -> Tensor {
    let shape = vec![texts.len() as i64];
    let mut raw = Vec::new();
    for text in texts {
        raw.extend_from_slice(&(text.len() as u32).to_le_bytes());
        raw.extend_from_slice(text.as_bytes());
    }
    ("BYTES", shape, raw)
}

fn floats(shape: Vec<i64>, numbers: impl Iterator<Item = f32>) -> Tensor {
    ("FP32", shape, numbers.flat_map(f32::to_le_bytes).collect())
}

fn matrix(mut tensors: Vec<HostTensor>) -> Result<Tensor, Failure> {
    match (tensors.pop(), tensors.is_empty()) {
        (Some(tensor), true) => {
            let shape = tensor.shape.iter().map(|&side| side as i64).collect();
            Ok(floats(shape, tensor.data.into_iter()))
        }
        _ => {
            let message =
                "`logits` and `contacts` are of one sequence at a time; their shapes differ";
            Err(Failure::invalid("outputs", message))
        }
    }
}

/// Every answer, or the first failure.
fn all<T>(results: impl Iterator<Item = Result<T, Failure>>) -> Result<Vec<T>, Status> {
    let each = |(index, result): (usize, Result<T, Failure>)| {
        result.map_err(|failure| failure.at(index).status())
    };
    results.enumerate().map(each).collect()
}

async fn compute(
    caller: &Caller,
    model: &str,
    priority: Option<u8>,
    texts: Vec<String>,
    wanted: Wanted,
) -> Result<Tensor, Status> {
    let model = Some(model.to_owned());
    match wanted {
        Wanted::Vectors(pooling) => {
            let request = EmbeddingsRequest {
                model,
                priority,
                input: texts.into(),
                pooling: Some(pooling),
                ..EmbeddingsRequest::default()
            };
            let list = caller.run::<Post<Embeddings>>(request).await?;
            let vectors = all(list.into_results())?;
            let vectors: Vec<_> = vectors
                .into_iter()
                .map(|item| item.embedding.into_tensor())
                .collect();
            let columns = vectors.first().map_or(0, |vector| vector.data.len());
            let shape = vec![vectors.len() as i64, columns as i64];
            Ok(floats(
                shape,
                vectors.into_iter().flat_map(|vector| vector.data),
            ))
        }
        Wanted::Logits => {
            let request = LogitsRequest {
                model,
                priority,
                input: texts.into(),
                ..LogitsRequest::default()
            };
            let list = caller.run::<Post<Logits>>(request).await?;
            let items = all(list.into_results())?.into_iter();
            matrix(items.map(|item| item.logits.into_tensor()).collect())
                .map_err(|failure| failure.status())
        }
        Wanted::Contacts => {
            let request = ContactsRequest {
                model,
                priority,
                input: texts.into(),
                ..ContactsRequest::default()
            };
            let list = caller.run::<Post<Contacts>>(request).await?;
            let items = all(list.into_results())?.into_iter();
            matrix(items.map(|item| item.contacts.into_tensor()).collect())
                .map_err(|failure| failure.status())
        }
        Wanted::States => {
            let request = ThreeDiRequest {
                model,
                priority,
                input: texts.into(),
                ..ThreeDiRequest::default()
            };
            let list = caller.run::<Post<ThreeDi>>(request).await?;
            let items = all(list.into_results())?.into_iter();
            Ok(bytes(items.map(|item| item.three_di).collect()))
        }
        Wanted::Summary => {
            let request = WritingRequest {
                model,
                priority,
                input: texts.into(),
                ..WritingRequest::default()
            };
            let list = caller.run::<Writing<Summarize>>(request).await?;
            let items = all(list.into_results())?.into_iter();
            Ok(bytes(items.map(|item| item.summary).collect()))
        }
    }
}

/// The priority among the parameters; any other is refused by name.
fn priority(request: &pb::ModelInferRequest) -> Result<Option<u8>, Failure> {
    let outputs = request.outputs.iter().flat_map(|output| &output.parameters);
    let inputs = request.inputs.iter().flat_map(|input| &input.parameters);
    let mut priority = None;
    for (name, value) in request.parameters.iter().chain(inputs).chain(outputs) {
        let number = match &value.parameter_choice {
            Some(ParameterChoice::Int64Param(number)) => u8::try_from(*number).ok(),
            Some(ParameterChoice::Uint64Param(number)) => u8::try_from(*number).ok(),
            _ => None,
        };
        match (&**name, number) {
            // The binary form is the only one of answers.
            ("binary_data" | "binary_data_output", _) => {}
            ("priority", Some(number)) => priority = Some(number),
            ("priority", None) => {
                return Err(Failure::invalid("priority", "`priority` is 0, 1 or 2"));
            }
            (name, _) => {
                let message = format!(
                    "there is no parameter `{}`; there is priority",
                    shortened(name)
                );
                return Err(Failure::invalid("parameters", message));
            }
        }
    }
    Ok(priority)
}

fn check_version(version: &str) -> Result<(), Failure> {
    match version {
        "" | VERSION => Ok(()),
        other => {
            let message = format!(
                "there is no version `{}`; there is {VERSION}",
                shortened(other)
            );
            Err(Failure::new(FailureKind::ModelNotFound, message))
        }
    }
}

#[async_trait]
impl GrpcInferenceService for Inference {
    async fn server_live(
        &self,
        _: Request<pb::ServerLiveRequest>,
    ) -> Result<Response<pb::ServerLiveResponse>, Status> {
        Ok(Response::new(pb::ServerLiveResponse { live: true }))
    }

    async fn server_ready(
        &self,
        _: Request<pb::ServerReadyRequest>,
    ) -> Result<Response<pb::ServerReadyResponse>, Status> {
        let ready = health::unready(&self.0).is_none();
        Ok(Response::new(pb::ServerReadyResponse { ready }))
    }

    async fn server_metadata(
        &self,
        _: Request<pb::ServerMetadataRequest>,
    ) -> Result<Response<pb::ServerMetadataResponse>, Status> {
        Ok(Response::new(pb::ServerMetadataResponse {
            name: "sessile".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            extensions: Vec::new(),
        }))
    }

    async fn model_ready(
        &self,
        request: Request<pb::ModelReadyRequest>,
    ) -> Result<Response<pb::ModelReadyResponse>, Status> {
        let caller = Caller::of(&self.0, &request);
        let pb::ModelReadyRequest { name, version } = request.into_inner();
        let known = Known::find(caller.engine()?, &name).and_then(|_| check_version(&version));
        known.map_err(|failure| failure.status())?;
        let ready = health::unready(&self.0).is_none();
        Ok(Response::new(pb::ModelReadyResponse { ready }))
    }

    async fn model_metadata(
        &self,
        request: Request<pb::ModelMetadataRequest>,
    ) -> Result<Response<pb::ModelMetadataResponse>, Status> {
        let caller = Caller::of(&self.0, &request);
        let pb::ModelMetadataRequest { name, version } = request.into_inner();
        let known = check_version(&version).and_then(|()| {
            let engine = self.0.admit()?;
            Known::find(engine, &name)
        });
        drop(caller);
        let known = known.map_err(|failure| failure.status())?;
        let outputs = known.outputs.iter().map(|&(name, wanted)| {
            let (datatype, shape) = wanted.tensor(known.columns);
            TensorMetadata {
                name: name.to_owned(),
                datatype: datatype.to_owned(),
                shape,
            }
        });
        Ok(Response::new(pb::ModelMetadataResponse {
            name,
            versions: vec![VERSION.to_owned()],
            platform: known.platform.clone(),
            inputs: vec![TensorMetadata {
                name: known.input.to_owned(),
                datatype: "BYTES".to_owned(),
                shape: vec![-1],
            }],
            outputs: outputs.collect(),
        }))
    }

    async fn model_infer(
        &self,
        request: Request<pb::ModelInferRequest>,
    ) -> Result<Response<pb::ModelInferResponse>, Status> {
        let caller = Caller::of(&self.0, &request);
        let mut request = request.into_inner();
        let name = request.model_name.clone();
        let asked = || -> Result<_, Failure> {
            check_version(&request.model_version)?;
            let known = Known::find(self.0.admit()?, &name)?;
            let priority = priority(&request)?;
            let outputs = match &request.outputs[..] {
                [] => known.outputs.first().copied().into_iter().collect(),
                outputs => outputs
                    .iter()
                    .map(|output| known.output(&output.name))
                    .collect::<Result<Vec<_>, _>>()?,
            };
            let texts = texts(&known, &mut request)?;
            Ok((outputs, priority, texts))
        };
        let mut asked = asked;
        let (outputs, priority, texts) = asked().map_err(|failure| failure.status())?;
        let (mut tensors, mut contents) = (Vec::new(), Vec::new());
        for (output, wanted) in outputs {
            let tensor = compute(&caller, &name, priority, texts.clone(), wanted).await?;
            let (datatype, shape, raw) = tensor;
            tensors.push(InferOutputTensor {
                name: output.to_owned(),
                datatype: datatype.to_owned(),
                shape,
                ..InferOutputTensor::default()
            });
            contents.push(raw);
        }
        Ok(Response::new(pb::ModelInferResponse {
            model_name: name,
            model_version: VERSION.to_owned(),
            id: request.id,
            outputs: tensors,
            raw_output_contents: contents,
            ..pb::ModelInferResponse::default()
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_by_their_lengths() {
        let (_, shape, raw) = bytes(vec!["MK".to_owned(), String::new(), "é".to_owned()]);
        assert_eq!(shape, [3]);
        assert_eq!(
            elements(&raw).unwrap(),
            [b"MK".to_vec(), vec![], "é".as_bytes().to_vec()]
        );
        for cut in [1, 5, raw.len() - 1] {
            assert!(elements(&raw[..cut]).is_err(), "{cut}");
        }
        assert!(elements(&[0xff; 8]).is_err());
    }
}
