//! The demo of images: a half-width ResNet-50, trained to tell one kind of photo from another, learns to find defects of
//! solar cells. Weights and photos are fetched by `scripts/fetch-real`.

use super::{Run, Summary, Way, answer_of_ways, megabytes, peak_memory, results, summary, table, write};
use crate::args::DemoArgs;
use crate::errors::{Failure, Result};
use crate::output::say;
use crate::photos::{self, epoch, in_order};
use crate::progress::Progress;
use crate::report::{Content, Report, Sample, data_uri, thousands};
use crate::train::{Plan, train, train_head, train_head_first};
use crate::{files, interrupt, predict};
use std::path::{Path, PathBuf};
use std::time::Instant;
use ukulele_data::{Augment, ImageBatches, ImageDataset, Labels, Photo, Preprocess, Size, split};
use ukulele_inference::Precision;
use ukulele_layers::{Init, Module, Role};
use ukulele_models::{ImageModel, Pretrained, ResNet, ResNetConfig};
use ukulele_training::{
    Classifier, CrossEntropy, Features, HeadOnly, Model, check_writable, evaluate, paired_difference,
};
use weights_import::{Architecture, Dialect, Weights, guess};

/// Where `scripts/fetch-real` puts things, below the folder of the project.
const REAL: &str = ".cache/real";
const WEIGHTS: &str = "nsfw/resnet_50_1by2_nsfw.caffemodel";
const PHOTOS: &str = "elpv";

/// The classes, in order.
const CLASSES: [&str; 2] = ["functional", "defective"];

/// What can be turned.
struct Knobs {
    /// Photos to learn from.
    labels: usize,
    /// Photos that validate.
    validation: usize,
    /// Photos to test on.
    test: usize,
    /// Side of the photos, in pixels.
    size: usize,
    /// Photos per step.
    batch: usize,
    /// Passes over the photos, from scratch and in the full fine-tune.
    epochs: usize,
    /// Passes of a linear head over the features of the photos: all of them together take less time than one of `epochs`.
    head_epochs: usize,
    /// Learning rates of the ways, in the order of [`Way::ALL`].
    rates: [f64; 3],
    /// In the full fine-tune, the factor from each group of layers to the one before it.
    rate_decay: f64,
}

const KNOBS: Knobs = Knobs {
    labels: 200,
    validation: 200,
    test: 1000,
    size: 160,
    batch: 16,
    epochs: 8,
    head_epochs: 30,
    rates: [1e-3, 3e-3, 5e-4],
    rate_decay: 0.7,
};

impl Knobs {
    fn plan(&self, way: Way, seed: u64) -> Plan {
        Plan {
            epochs: if way == Way::Head { self.head_epochs } else { self.epochs },
            batch: self.batch,
            rate: self.rates[way as usize],
            rate_decay: if way == Way::Full { self.rate_decay } else { 1.0 },
            weight_decay: 0.01,
            label_smoothing: 0.0,
            patience: None,
            seed,
            precision: Precision::F32,
            gradient_checkpointing: false,
        }
    }

    /// As the weights were trained: BGR of 0 to 255 less the means; here of whole photos.
    fn preprocess(&self) -> Preprocess {
        Preprocess {
            size: Some(Size::Exact { height: self.size, width: self.size }),
            crop: None,
            ..Preprocess::caffe_bgr()
        }
    }
}

/// Photos, and the model they are for.
struct Task {
    /// Shaped already.
    photos: ImageDataset,
    paths: Vec<PathBuf>,
    weights: Weights,
    dialect: Dialect,
    config: ResNetConfig,
}

impl Task {
    fn new(folder: &Path, knobs: &Knobs) -> Result<Self> {
        let list = folder.join(PHOTOS).join("labels.csv");
        let text = std::fs::read_to_string(&list).map_err(|e| Failure::io("read", &list, &e))?;
        let names = Labels::new(CLASSES.map(str::to_owned).into())?;
        let mut data = ImageDataset { photos: Vec::new(), labels: Vec::new(), names };
        let mut paths = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let mut fields = line.split_whitespace();
            let (Some(path), Some(probability)) = (fields.next(), fields.next().and_then(|p| p.parse::<f64>().ok()))
            else {
                return Err(Failure::run(format!(
                    "{}, line {}: path and probability of a defect expected",
                    list.display(),
                    number + 1
                )));
            };
            // The uncertain ones, at 1/3 and 2/3, are left out.
            if probability == 0.0 || probability == 1.0 {
                let path = folder.join(PHOTOS).join(path);
                data.photos.push(Photo::File(path.clone()));
                data.labels.push(usize::from(probability == 1.0));
                paths.push(path);
            }
        }
        let shape = knobs.preprocess();
        let photos = data.into_memory(|image| shape.shape(image))?;
        let weights = weights_import::open(folder.join(WEIGHTS))?;
        let dialect = Dialect::detect(&weights)?;
        let config = match guess(&weights, &dialect) {
            Some(Architecture::ResNet(found)) => ResNetConfig::from_weights(&found, &dialect.knobs, CLASSES.len())?,
            _ => return Err(Failure::run(format!("{}: no ResNet is recognised in these weights", weights.source()))),
        };
        Ok(Self { photos, paths, weights, dialect, config })
    }

    /// The model that a way begins with.
    fn model(&self, way: Way, seed: u64) -> Result<ImageModel> {
        let mut net = ImageModel::from(ResNet::new(&self.config, &mut Init::new(seed)));
        if way != Way::Scratch {
            net.load(&self.weights, &self.dialect)?.only_missing(&["fc."])?;
            // The file's head tells other things apart, and may have the same shape.
            net.replace_head(CLASSES.len(), &mut Init::new(seed));
        }
        match way {
            Way::Scratch => {}
            Way::Head => net.freeze_trunk(),
            // Few photos a step say less about the statistics than the many that they came from.
            Way::Full => net.set_frozen(&[Role::Statistic], true, |_| true),
        }
        Ok(net)
    }

    fn exam(&self, places: &[usize]) -> Result<ImageBatches> {
        photos::still(self.photos.subset(places)?, normalise())
    }

    /// What the pretrained trunk says of all photos: the same for all seeds, as it is frozen.
    fn features(&self, quiet: bool) -> Result<Features> {
        let photos = photos::still(self.photos.clone(), normalise())?;
        photos::features(&mut self.model(Way::Head, 0)?, None, &photos, quiet)
    }

    /// Learns one way, and is tested. `features` are those of all photos, and took `each` seconds a photo.
    fn learn(
        &self,
        way: Way,
        [learn, judge, test]: [&[usize]; 3],
        seed: u64,
        features: &Features,
        each: f64,
        knobs: &Knobs,
        quiet: bool,
    ) -> Result<(Run, ImageModel)> {
        let plan = knobs.plan(way, seed);
        let progress = Progress::bar_only(&format!("seed {seed}, {:<14}", way.name()), plan.epochs, quiet);
        ukulele_tensor::memory::reset_peak();
        let start = Instant::now();
        let mut net = self.model(way, seed)?;
        let loss = CrossEntropy::default();
        let (history, shared) = if way == Way::Head {
            let [features, seen] = [learn, judge].map(|places| part(features, places));
            let history = train_head(&mut net, &plan, loss, &features?, &seen?, &progress)?;
            (history, each * (learn.len() + judge.len()) as f64)
        } else {
            // A solar cell upside down is as whole as it was.
            let augment = Augment { flip_horizontal: true, flip_vertical: true, ..Augment::default() };
            let lesson = ImageBatches::new(self.photos.subset(learn)?, normalise(), augment, plan.batch, seed)?;
            let exam = self.exam(judge)?;
            if way == Way::Full {
                // A fresh head would first tear at the trunk: it begins as the one that the frozen trunk wants.
                let [features, seen] = [learn, judge].map(|places| part(features, places));
                let head = knobs.plan(Way::Head, seed);
                train_head_first(&mut net, &head, loss.clone(), &features?, &seen?, &progress)?;
            }
            let history = train(
                &mut net,
                &plan,
                loss,
                &mut |number| Ok(epoch(&lesson, number)),
                &mut |net| Ok(Some(evaluate(net, in_order(&exam))?.score())),
                &progress,
            )?;
            (history, 0.0)
        };
        let seconds = start.elapsed().as_secs_f64() + shared;
        if interrupt::asked() {
            return Err(Failure::Interrupted("the demo was left; nothing was saved".to_owned()));
        }
        let peak_bytes = ukulele_tensor::memory::usage().peak;
        let found = if way == Way::Head {
            let features = part(features, test)?;
            evaluate(&HeadOnly(&mut net), features.batches(crate::train::whole(test.len())))?
        } else {
            evaluate(&net, in_order(&self.exam(test)?))?
        };
        let run = Run::new(way, learn.len(), seed, seconds, net.parameter_count().1, peak_bytes, &history, &found)?;
        Ok((run, net))
    }
}

/// What is left to be done to photos whose resize and crop are done.
fn normalise() -> Preprocess {
    Preprocess { size: None, crop: None, ..Preprocess::caffe_bgr() }
}

fn part(features: &Features, places: &[usize]) -> Result<Features> {
    let batch = features.batch(places)?;
    Ok(Features { values: batch.inputs, labels: batch.labels })
}

/// The folder that `scripts/fetch-real` filled.
fn real() -> Result<PathBuf> {
    let mut places: Vec<PathBuf> = std::env::var_os("UKULELE_REAL").map(PathBuf::from).into_iter().collect();
    let here = std::env::current_dir().unwrap_or_default();
    places.extend(here.ancestors().map(|folder| folder.join(REAL)));
    let complete =
        |folder: &&PathBuf| folder.join(WEIGHTS).is_file() && folder.join(PHOTOS).join("labels.csv").is_file();
    places.iter().find(complete).cloned().ok_or_else(|| {
        Failure::run(format!(
            "the weights ({WEIGHTS}) and photos ({PHOTOS}) are not in {REAL} here or above; fetch them with: scripts/fetch-real nsfw elpv"
        ))
    })
}

/// Runs the demo.
pub(crate) fn run(args: &DemoArgs, quiet: bool) -> Result<()> {
    let knobs = &KNOBS;
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from("uke-demo-image"));
    let folder = real()?;
    check_writable(&out)?;
    files::check_file(args.json.as_deref())?;
    let start = Instant::now();
    let task = Task::new(&folder, knobs)?;
    say!(
        "A half-width ResNet-50 learns to find defects of solar cells, three ways.\n\
         {} photos that are surely functional or defective; {} to learn from, {} to validate, {} to test; {}.\n",
        thousands(task.photos.len() as f64),
        knobs.labels,
        knobs.validation,
        thousands(knobs.test as f64),
        if args.seeds == 1 { "seed 1".to_owned() } else { format!("seeds 1 to {}", args.seeds) },
    )?;
    let begun = Instant::now();
    let features = task.features(quiet)?;
    let each = begun.elapsed().as_secs_f64() / task.photos.len() as f64;
    let (mut runs, mut kept) = (Vec::new(), None);
    for seed in 1..=args.seeds {
        let parts = split::stratified(&task.photos.labels, &[knobs.labels, knobs.validation, knobs.test], seed)?;
        for way in Way::ALL {
            let places = [parts[0].as_slice(), parts[1].as_slice(), parts[2].as_slice()];
            let (run, net) = task.learn(way, places, seed, &features, each, knobs, quiet)?;
            if !quiet {
                eprintln!("seed {seed}, {}: {:.3} in {:.0} s", way.name(), run.test.accuracy(), run.seconds);
            }
            if (way, seed) == (Way::Full, 1) {
                kept = Some((net, parts[2].clone()));
            }
            runs.push(run);
        }
    }
    let rows = Way::ALL.iter().map(|&way| summary(&runs, way, knobs.labels)).collect::<Result<Vec<_>>>()?;
    let mut answer = answer_of_ways(&rows, &format!("{} photos", knobs.labels));
    if args.seeds > 1 {
        let each = |way: Way| rows.iter().find(|r| r.way == way).map(|r| r.each.clone()).unwrap_or_default();
        let gain = paired_difference(&each(Way::Full), &each(Way::Scratch))?;
        answer += &format!(
            " Full fine-tuning is {:.1} points above scratch (95% interval of the paired difference {:.1} to {:.1}).",
            gain.value * 100.0,
            gain.low * 100.0,
            gain.high * 100.0
        );
    }
    say!("{}\n{answer}\n", table(&rows))?;
    let (net, test) = kept.ok_or_else(|| Failure::run("no model was trained"))?;
    let mut model = Model::new(net, &CLASSES)?;
    model.preprocess = Some(knobs.preprocess());
    model.metrics.insert("test_accuracy".into(), rows[Way::Full as usize].each[0].into());
    model.metrics.insert("labels".into(), knobs.labels.into());
    model.save(&out)?;
    say!("The fine-tuned model, saved to {} and loaded again, says:", out.display())?;
    let some: Vec<PathBuf> = test.iter().take(4).map(|&i| task.paths[i].clone()).collect();
    let says = predict::photo_lines(&Model::load(&out)?, &some)?;
    for (line, &i) in says.iter().zip(&test) {
        say!("  {line}  (is {})", CLASSES[task.photos.labels[i]])?;
    }
    let seconds = start.elapsed().as_secs_f64();
    let report = report(&task, &runs, rows, answer, &test, args.seeds, seconds, knobs)?;
    let json = match args.json.as_deref() {
        Some(path) => Some((path, "image", results(&report.ways, &[], args.seeds, seconds, knobs.test)?)),
        None => None,
    };
    write(&report, &out, json)?;
    say!(
        "\nReport: {}   {seconds:.0} s, {:.0} MB of memory at most\nTry: uke predict {} a-photo.png",
        out.join("report.html").display(),
        megabytes(peak_memory()),
        out.display()
    )?;
    Ok(())
}

/// Everything on one page.
fn report(
    task: &Task,
    runs: &[Run],
    rows: Vec<Summary>,
    answer: String,
    test: &[usize],
    seeds: u64,
    seconds: f64,
    knobs: &Knobs,
) -> Result<Report> {
    let shown: Vec<&Run> = runs.iter().filter(|r| r.seed == 1).collect();
    let Some(full) = shown.iter().find(|r| r.way == Way::Full) else {
        return Err(Failure::run("no full fine-tune was run"));
    };
    let truth = |k: usize| task.photos.labels[test[k]];
    let mut samples = Vec::new();
    for k in super::shown_samples(full, &truth, 8, 4) {
        let path = &task.paths[test[k]];
        let bytes = std::fs::read(path).map_err(|e| Failure::io("read", path, &e))?;
        samples.push(Sample {
            content: Content::Picture(data_uri("image/png", &bytes)),
            truth: CLASSES[truth(k)].to_owned(),
            predicted: CLASSES[full.predictions[k].0].to_owned(),
            probability: full.predictions[k].1,
        });
    }
    let of_seeds = if seeds == 1 {
        "one seed; intervals are Wilson's".to_owned()
    } else {
        format!("means over {seeds} seeds; intervals are Student's over seeds")
    };
    let size = knobs.size;
    let facts = vec![
        ("Weights", "Yahoo's open_nsfw, a ResNet-50 of half width, from its .caffemodel; BSD-2-Clause".to_owned()),
        ("Data", format!("ELPV, photos of solar cells in the light of their own current; {} that are surely functional or defective, the uncertain ones left out; CC BY-NC-SA", thousands(task.photos.len() as f64))),
        ("Photos", format!("whole, at {size} x {size} pixels, BGR less the means of the weights' own training; to learn from, flipped at random along both axes")),
        ("Split", format!("stratified by seed: {} to learn from, {} to validate, {} to test; {of_seeds}", knobs.labels, knobs.validation, thousands(knobs.test as f64))),
        ("Budget", format!(
                "{} epochs in batches of {} from scratch and in the full fine-tune; {} for the head, which together cost less than one of those; the epoch with the best validation is kept",
                knobs.epochs, knobs.batch, knobs.head_epochs
            )),
        ("From scratch", format!("the same network with fresh weights; AdamW, rate {:e}", knobs.rates[0])),
        ("Head only", format!("the trunk as it is, its features computed once; a linear head; AdamW, rate {:e}; seconds count its share of the trunk's time", knobs.rates[1])),
        ("Full fine-tune", format!("begins with the head of the line above; everything learns but the running statistics of batch norm; AdamW, rate {:e}, times {} for each stage further down", knobs.rates[2], knobs.rate_decay)),
        ("Schedule", "a tenth of the steps warms up, then the rate falls straight to 0; gradients clipped to norm 1; weight decay 0.01".to_owned()),
        ("Took", format!("{seconds:.0} seconds on {} threads; at most {:.0} MB of memory", rayon::current_num_threads(), megabytes(peak_memory()))),
    ];
    Ok(Report {
        title: "What is pretraining worth? Defects of solar cells".to_owned(),
        answer,
        task: format!(
            "A half-width ResNet-50, trained to recognise one kind of photo, learns from {} others whether a solar cell has a defect: from scratch, with a linear head on the pretrained trunk, and by fine-tuning all of it. Always guessing \"functional\" would be right in 67.8%.",
            knobs.labels
        ),
        ways: rows,
        label_curve: None,
        learning: super::charts::learning(&shown),
        learning_note: format!(
            "The three ways{}. A dot marks the epoch that was kept.",
            if seeds > 1 { ", seed 1" } else { "" }
        ),
        classes: CLASSES.map(str::to_owned).into(),
        confusion: full.test.clone(),
        samples,
        facts,
    })
}
