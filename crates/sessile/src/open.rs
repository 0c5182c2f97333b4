//! A model by name, resident on its devices.

use std::path::{Path, PathBuf};

use sessile_device::{OutputKind, OutputSet};
use sessile_models::generation::SettingsOverrides;
use sessile_models::hub::{self, HubOptions, Progress};
use sessile_models::tokenizer::Tokenizer;
use sessile_models::{DEMO, Model, ModelInfo, OpenOptions};
use sessile_runtime::{DTypeChoice, DeviceChoice, Instances, Pool, PoolOptions, WritingOptions};

use crate::error::{Error, ErrorKind};

/// A resident model. Its weights are loaded once for each device and stay until it is dropped; all
/// calls, from any number of threads, share its lanes.
pub struct Sessile {
    name: String,
    resident: Resident,
}

enum Resident {
    Reader(Box<Reader>),
    Writer(Box<Writer>),
}

/// A model that reads sequences.
pub(crate) struct Reader {
    pub(crate) pool: Pool,
    pub(crate) tokenizer: Tokenizer,
    pub(crate) info: ModelInfo,
}

/// A model that writes texts.
pub(crate) struct Writer {
    pub(crate) pool: Pool,
    pub(crate) settings: sessile_device::GenerationSettings,
}

impl Sessile {
    /// Loads a model with everything left to the program: all devices worth using, the number
    /// format that suits them.
    ///
    /// `name` is a folder or a file, `org/name` or `org/name@revision` on the hub, a short name
    /// such as `esm2_t6_8M`, or `demo`.
    ///
    /// # Errors
    ///
    /// When the model cannot be found, fetched or read, or does not fit the devices.
    ///
    /// # Examples
    ///
    /// ```
    /// let model = sessile::Sessile::open("demo")?;
    /// assert_eq!(model.info().map(|info| info.layers), Some(4));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn open(name: impl Into<String>) -> Result<Self, Error> {
        Sessile::builder(name).open()
    }

    /// The same with choices.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::{DType, DTypeChoice, Sessile};
    ///
    /// let model = Sessile::builder("demo")
    ///     .dtype(DTypeChoice::Only(DType::F32))
    ///     .threads(1)
    ///     .open()?;
    /// assert_eq!(model.dtype(), DType::F32);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn builder(name: impl Into<String>) -> Builder {
        Builder {
            name: name.into(),
            pool: PoolOptions::default(),
            head: None,
            generation: SettingsOverrides::default(),
        }
    }

    /// The name it was opened by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What a model that reads sequences is; `None` of one that writes.
    pub fn info(&self) -> Option<&ModelInfo> {
        match &self.resident {
            Resident::Reader(reader) => Some(&reader.info),
            Resident::Writer(_) => None,
        }
    }

    /// The number format it computes in: that of its first device.
    pub fn dtype(&self) -> sessile_device::DType {
        let plan = self.pool().plans().first();
        plan.map_or(sessile_device::DType::F32, |plan| plan.dtype)
    }

    /// The pool that answers, for what this interface does not have.
    pub fn pool(&self) -> &Pool {
        match &self.resident {
            Resident::Reader(reader) => &reader.pool,
            Resident::Writer(writer) => &writer.pool,
        }
    }

    /// The model, which must be one that reads and has these outputs.
    pub(crate) fn reader(&self, outputs: &[OutputKind]) -> Result<&Reader, Error> {
        let Resident::Reader(reader) = &self.resident else {
            let message = format!("{} writes texts and reads no sequences", self.name);
            return Err(Error::new(ErrorKind::Usage, message).with_hint("use `summarize`"));
        };
        match outputs
            .iter()
            .find(|&&kind| !reader.info.outputs.contains(kind))
        {
            Some(kind) => {
                let message = format!("{} has no {kind:?} output", self.name);
                Err(Error::new(ErrorKind::Usage, message)
                    .with_hint("its architecture or its checkpoint lacks that head"))
            }
            None => Ok(reader),
        }
    }

    /// The model, which must be one that writes.
    pub(crate) fn writer(&self) -> Result<&Writer, Error> {
        match &self.resident {
            Resident::Writer(writer) => Ok(writer),
            Resident::Reader(_) => Err(self.writes_nothing()),
        }
    }

    pub(crate) fn writes_nothing(&self) -> Error {
        let message = format!("{} reads sequences and writes no texts", self.name);
        Error::new(ErrorKind::Usage, message).with_hint("use a BART model")
    }
}

/// Choices about a model that is to be loaded; see [`Sessile::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    name: String,
    pool: PoolOptions,
    head: Option<PathBuf>,
    generation: SettingsOverrides,
}

impl Builder {
    /// Devices to use; all that are worth it unless chosen.
    pub fn devices(mut self, devices: DeviceChoice) -> Self {
        self.pool.devices = devices;
        self
    }

    /// The number format; what suits the device unless chosen.
    pub fn dtype(mut self, dtype: DTypeChoice) -> Self {
        self.pool.dtype = dtype;
        self
    }

    /// CPU threads in total; one for each core unless chosen.
    pub fn threads(mut self, threads: usize) -> Self {
        self.pool.threads = Some(threads);
        self
    }

    /// Lanes of each device, or texts that are written at the same time.
    pub fn instances(mut self, instances: usize) -> Self {
        self.pool.instances = Some(instances);
        self
    }

    /// Tokens of a batch.
    pub fn token_budget(mut self, tokens: usize) -> Self {
        self.pool.token_budget = Some(tokens);
        self
    }

    /// Longest sequence that is computed as a whole, in tokens; what the model was made for unless
    /// chosen.
    pub fn max_tokens(mut self, tokens: usize) -> Self {
        self.pool.max_tokens = Some(tokens);
        self
    }

    /// Bytes of memory to leave alone on each device.
    pub fn memory_reserve(mut self, bytes: u64) -> Self {
        self.pool.memory_reserve = bytes;
        self
    }

    /// The file of a head that is published apart from the model: the 3Di head of ProstT5.
    pub fn head(mut self, path: impl Into<PathBuf>) -> Self {
        self.head = Some(path.into());
        self
    }

    /// How a model writes, where that differs from the model's own settings. Memory is planned for
    /// it.
    pub fn generation(mut self, overrides: SettingsOverrides) -> Self {
        self.generation = overrides;
        self
    }

    /// Plans the memory and loads the model.
    ///
    /// # Errors
    ///
    /// As [`Sessile::open`]; a choice that makes no sense is refused before anything is loaded.
    pub fn open(self) -> Result<Sessile, Error> {
        self.open_watched(&mut |_| {})
    }

    /// The same; `download` is told how far the files are that have to be fetched.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_watched(self, download: &mut dyn FnMut(Progress<'_>)) -> Result<Sessile, Error> {
        let files = open_files(&self.name, self.head.as_deref(), download)?;
        let resident = if files.description().encodes {
            if self.generation != SettingsOverrides::default() {
                let message = format!("{} writes no texts: generation settings", self.name);
                return Err(Error::new(ErrorKind::Usage, message + " have no effect"));
            }
            Resident::Reader(Box::new(load_reader(files, &self.pool)?))
        } else {
            Resident::Writer(Box::new(load_writer(&files, &self.pool, &self.generation)?))
        };
        Ok(Sessile {
            name: self.name,
            resident,
        })
    }
}

/// The model of a name, fetched if need be.
fn open_files(
    name: &str,
    head: Option<&Path>,
    download: &mut dyn FnMut(Progress<'_>),
) -> Result<Model, Error> {
    if name == DEMO {
        return Ok(Model::demo());
    }
    let path = hub::resolve(name, &HubOptions::from_env(), download)?;
    let options = OpenOptions {
        head: head.map(Path::to_owned),
        ..OpenOptions::default()
    };
    Ok(Model::open_with(&path, &options)?.named(name))
}

/// A model that reads sequences, which must be one.
pub(crate) fn open_reader(
    name: &str,
    download: &mut dyn FnMut(Progress<'_>),
) -> Result<Model, Error> {
    let files = open_files(name, None, download)?;
    if !files.description().encodes {
        let message = format!("{name} writes texts and reads no sequences");
        return Err(Error::new(ErrorKind::Usage, message));
    }
    Ok(files)
}

fn load_reader(files: Model, options: &PoolOptions) -> Result<Reader, Error> {
    let (info, _) = files.check()?;
    // A resident model is asked for anything it has. Attention maps alone are not offered.
    let outputs: OutputSet = (info.outputs.iter())
        .filter(|&kind| kind != OutputKind::Attention)
        .collect();
    let options = PoolOptions {
        outputs,
        ..options.clone()
    };
    let tokenizer = files.tokenizer().clone();
    let pool = Pool::new(&[files], &options)?;
    let info = pool
        .models()
        .first()
        .cloned()
        .ok_or_else(|| Error::new(ErrorKind::Device, "there is no device to compute on"))?;
    Ok(Reader {
        pool,
        tokenizer,
        info,
    })
}

fn load_writer(
    files: &Model,
    options: &PoolOptions,
    overrides: &SettingsOverrides,
) -> Result<Writer, Error> {
    if options.token_budget.is_some() {
        let message = format!(
            "{} writes texts: a token budget has no effect",
            files.name()
        );
        return Err(Error::new(ErrorKind::Usage, message));
    }
    let settings = overrides.over(files.settings()?).map_err(|error| {
        Error::new(ErrorKind::Usage, error.to_string())
            .with_hint(error.hint().unwrap_or("see the settings of the model"))
    })?;
    let instances = options.instances;
    let options = PoolOptions {
        writing: WritingOptions {
            instances: instances.map_or_else(Instances::default, Instances::Exactly),
            source_tokens: options.max_tokens,
            ..WritingOptions::of(settings.clone())
        },
        ..options.clone()
    };
    let pool = Pool::new([sessile_runtime::Resident::Writes(files)], &options)?;
    Ok(Writer { pool, settings })
}

/// Calls come from any thread.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Sessile>();
};
