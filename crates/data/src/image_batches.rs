//! Batches of pictures: decoded, changed and normalised in parallel, one batch ahead of the one in use.

use crate::augment::Augment;
use crate::batch::{check, cut, purpose};
use crate::error::Result;
use crate::folder::ImageDataset;
use crate::image::Image;
use crate::preprocess::Preprocess;
use crate::random::Random;
use rayon::prelude::*;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use ukulele_tensor::Tensor;

/// Pictures as the input of a net.
#[derive(Debug, Clone)]
pub struct ImageBatch {
    /// Shape (N, 3, H, W), memory channels-last.
    pub images: Tensor,
    /// The class of each picture.
    pub labels: Vec<usize>,
    /// The number of each picture in the data set.
    pub samples: Vec<usize>,
}

/// A data set and what is done to its pictures, ready to be batched.
#[derive(Debug, Clone)]
pub struct ImageBatches {
    source: Arc<Source>,
}

#[derive(Debug)]
struct Source {
    data: ImageDataset,
    preprocess: Preprocess,
    augment: Augment,
    batch: usize,
    seed: u64,
}

impl ImageBatches {
    /// Batches of at most `batch` pictures. `augment` acts in [`ImageBatches::epoch`] only.
    ///
    /// # Errors
    /// No pictures, a batch of 0, or numbers of `augment` that make no sense.
    pub fn new(data: ImageDataset, preprocess: Preprocess, augment: Augment, batch: usize, seed: u64) -> Result<Self> {
        check(data.len(), data.labels.len(), batch)?;
        augment.check()?;
        Ok(Self { source: Arc::new(Source { data, preprocess, augment, batch, seed }) })
    }

    /// The data set.
    pub fn data(&self) -> &ImageDataset {
        &self.source.data
    }

    /// Number of pictures.
    #[expect(clippy::len_without_is_empty, reason = "there is always at least one picture")]
    pub fn len(&self) -> usize {
        self.source.data.len()
    }

    /// Number of batches of an epoch.
    pub fn count(&self) -> usize {
        self.len().div_ceil(self.source.batch)
    }

    /// Every picture once, shuffled and changed at random. The same (seed, epoch) gives the same batches.
    pub fn epoch(&self, epoch: u64) -> ImageEpoch {
        let mut order: Vec<usize> = (0..self.len()).collect();
        Random::new(&[self.source.seed, purpose::IMAGES, epoch]).shuffle(&mut order);
        self.run(order, Some(epoch))
    }

    /// Every picture once, in the order of the data set, unchanged: for evaluation.
    pub fn in_order(&self) -> ImageEpoch {
        self.run((0..self.len()).collect(), None)
    }

    fn run(&self, order: Vec<usize>, epoch: Option<u64>) -> ImageEpoch {
        let batches = cut(&order, self.source.batch);
        // One batch waits in the channel while the next one is made.
        let (send, receive) = sync_channel(1);
        let (source, ahead) = (Arc::clone(&self.source), batches.clone());
        let thread = std::thread::Builder::new().name("image batches".into()).spawn(move || {
            for samples in ahead {
                if send.send(source.make(samples, epoch)).is_err() {
                    return; // nobody wants the rest
                }
            }
        });
        let batches = batches.into_iter();
        // Where there are no threads, each batch is made when it is asked for.
        let receive = thread.is_ok().then_some(receive);
        ImageEpoch { source: Arc::clone(&self.source), batches, receive, epoch }
    }
}

/// The batches of one pass over the pictures. A picture that cannot be decoded is an error that names its file.
#[derive(Debug)]
pub struct ImageEpoch {
    source: Arc<Source>,
    batches: std::vec::IntoIter<Vec<usize>>,
    receive: Option<Receiver<Result<ImageBatch>>>,
    epoch: Option<u64>,
}

impl Iterator for ImageEpoch {
    type Item = Result<ImageBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let samples = self.batches.next()?;
        let ahead = self.receive.as_ref().and_then(|receive| receive.recv().ok());
        Some(ahead.unwrap_or_else(|| {
            self.receive = None;
            self.source.make(samples, self.epoch)
        }))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.batches.size_hint()
    }
}

impl ExactSizeIterator for ImageEpoch {}

impl Source {
    fn make(&self, samples: Vec<usize>, epoch: Option<u64>) -> Result<ImageBatch> {
        let shaped: Vec<Result<Image>> = samples
            .par_iter()
            .map(|&sample| {
                let image = self.data.photos[sample].load()?;
                match epoch {
                    None => self.preprocess.shape(&image),
                    Some(epoch) => {
                        let mut random = Random::new(&[self.seed, purpose::AUGMENT, epoch, sample as u64]);
                        self.augment.apply(&image, &self.preprocess, &mut random)
                    }
                }
            })
            .collect();
        let shaped: Vec<Image> = shaped.into_iter().collect::<Result<_>>()?;
        let images = self.preprocess.stack(&shaped)?;
        let labels = samples.iter().map(|&i| self.data.labels[i]).collect();
        Ok(ImageBatch { images, labels, samples })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::Photo;
    use crate::labels::Labels;

    fn batches(count: usize, augment: Augment) -> ImageBatches {
        let images = (0..count).map(|i| Image::from_grey(4, 4, &[i as u8; 16]).unwrap()).collect();
        let names = Labels::from_values(["a", "b"]).unwrap();
        let data = ImageDataset::from_images(images, (0..count).map(|i| i % 2).collect(), names).unwrap();
        let preprocess = Preprocess { rescale: 1.0, mean: [0.0; 3], std: [1.0; 3], ..Preprocess::symmetric(4) };
        ImageBatches::new(data, preprocess, augment, 4, 3).unwrap()
    }

    #[test]
    fn each_picture_once() {
        let all = batches(10, Augment::default());
        let first: Vec<ImageBatch> = all.epoch(0).collect::<Result<_>>().unwrap();
        assert_eq!((first.len(), all.epoch(0).len(), all.count()), (3, 3, 3));
        let mut samples: Vec<usize> = first.iter().flat_map(|b| b.samples.clone()).collect();
        assert_ne!(samples, (0..10).collect::<Vec<_>>());
        samples.sort_unstable();
        assert_eq!(samples, (0..10).collect::<Vec<_>>());
        for batch in &first {
            assert_eq!(batch.images.shape(), [batch.samples.len(), 3, 4, 4]);
            let values = batch.images.to_vec();
            for (i, &sample) in batch.samples.iter().enumerate() {
                assert_eq!((values[i * 48], batch.labels[i]), (sample as f32, sample % 2));
            }
        }
        let in_order: Vec<usize> = all.in_order().flat_map(|b| b.unwrap().samples).collect();
        assert_eq!(in_order, (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn the_same_epoch_again() {
        let all = batches(10, Augment { brightness: 0.5, ..Augment::default() });
        let values = |epoch| all.epoch(epoch).flat_map(|b| b.unwrap().images.to_vec()).collect::<Vec<f32>>();
        assert_eq!(values(1), values(1));
        assert_ne!(values(1), values(2));
    }

    #[test]
    fn an_epoch_may_be_left() {
        let all = batches(40, Augment::default());
        assert!(all.epoch(0).next().unwrap().is_ok());
    }

    #[test]
    fn broken_pictures() {
        let mut data = batches(3, Augment::default()).data().clone();
        data.photos[1] = Photo::File("/no/such.png".into());
        let all = ImageBatches::new(data.clone(), Preprocess::cifar10(), Augment::default(), 1, 0).unwrap();
        let results: Vec<Result<ImageBatch>> = all.in_order().collect();
        assert!(results[0].is_ok() && results[2].is_ok());
        assert!(results[1].as_ref().unwrap_err().to_string().contains("/no/such.png"));
        let (rest, errors) = data.skip_broken();
        assert_eq!((rest.labels, errors.len()), (vec![0, 0], 1));
        assert!(errors[0].to_string().contains("/no/such.png"));
    }
}
