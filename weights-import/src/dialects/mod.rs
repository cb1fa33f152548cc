//! The dialects, one table a file.

/// The rules of one batch norm of TensorFlow.
macro_rules! norm {
    ($ours:literal, $theirs:literal) => {
        [
            rule(concat!($ours, ".weight"), &[concat!($theirs, "/gamma")], How::Copy),
            rule(concat!($ours, ".bias"), &[concat!($theirs, "/beta")], How::Copy),
            rule(concat!($ours, ".running_mean"), &[concat!($theirs, "/moving_mean")], How::Copy),
            rule(concat!($ours, ".running_var"), &[concat!($theirs, "/moving_variance")], How::Copy),
        ]
    };
}

mod caffe_googlenet;
mod caffe_msra;
mod caffe_resnet;
mod caffe_resnet_onnx;
mod caffe_vgg;
mod facenet;
mod fid;
mod google_bert;
mod huggingface_albert;
mod huggingface_bert;
mod huggingface_distilbert;
mod huggingface_electra;
mod huggingface_resnet;
mod huggingface_roberta;
mod inception_v3;
mod keras_cifar_resnet;
mod keras_inception;
mod keras_inception_resnet;
mod keras_resnet;
mod keras_resnet_old;
mod keras_resnet_v2;
mod keras_sequential;
mod keras_vgg;
mod keras_vgg_onnx;
mod plain;
mod slim_inception;
mod slim_resnet;
mod slim_resnet_v2;
mod slim_vgg;
mod timm;
mod timm_inception;
mod timm_resnet_v2;
mod torchvision;
mod vgg;

use crate::dialect::{How, Rule, Table};

pub(crate) use plain::PLAIN;

/// All that are recognised, in the order of trying: the particular before the general.
pub(crate) const ALL: &[&Table] = &[
    &fid::TABLE,
    &timm::TABLE,
    &timm_resnet_v2::TABLE,
    &timm_inception::TABLE,
    &facenet::TABLE,
    &torchvision::TABLE,
    &huggingface_roberta::TABLE,
    &huggingface_electra::TABLE,
    &huggingface_distilbert::TABLE,
    &huggingface_albert::TABLE,
    // After the relatives that share its names.
    &huggingface_bert::TABLE,
    &huggingface_resnet::TABLE,
    &google_bert::TABLE,
    &keras_resnet::TABLE,
    &keras_resnet_old::TABLE,
    &keras_resnet_v2::TABLE,
    &keras_vgg::TABLE,
    &keras_vgg_onnx::TABLE,
    &keras_cifar_resnet::TABLE,
    &keras_inception::TABLE,
    &keras_inception_resnet::TABLE,
    &slim_resnet::TABLE,
    &slim_resnet_v2::TABLE,
    &slim_vgg::TABLE,
    &slim_inception::TABLE,
    &caffe_resnet::TABLE,
    &caffe_resnet_onnx::TABLE,
    &caffe_msra::TABLE,
    &caffe_vgg::TABLE,
    &caffe_googlenet::TABLE,
    // Last: its names are those of any network.
    &keras_sequential::TABLE,
];

/// A kernel (H, W, in, out) as (out, in, H, W).
const HWIO: How = How::Permute(&[3, 2, 0, 1]);
/// A matrix (in, out) as (out, in).
const TRANSPOSED: How = How::Permute(&[1, 0]);

/// What training leaves in TF-slim's checkpoints.
const SLIM_IGNORED: &[(&str, &str)] = &[
    ("global_step", "counts training steps, which no computation uses"),
    ("{*}/Momentum", "is state of the optimiser"),
    ("{*}/RMSProp", "is state of the optimiser"),
    ("{*}/RMSProp_1", "is state of the optimiser"),
    ("{*}/ExponentialMovingAverage", "is a running mean of another tensor"),
    ("mean_rgb", "is the mean of the images"),
];

const fn rule(target: &'static str, sources: &'static [&'static str], how: How) -> Rule {
    Rule { target, sources, how }
}

/// The rules of all groups, which are `N`.
const fn join<const N: usize>(groups: &[&[Rule]]) -> [Rule; N] {
    let mut rules = [rule("", &[], How::Copy); N];
    let (mut group, mut next) = (0, 0);
    while group < groups.len() {
        let mut i = 0;
        while i < groups[group].len() {
            rules[next] = groups[group][i];
            next += 1;
            i += 1;
        }
        group += 1;
    }
    assert!(next == N);
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Matching tries every end of `{*}`: two of them in a pattern would make long names slow.
    #[test]
    fn patterns_have_one_hole_for_any_text() {
        for table in ALL.iter().chain([&&PLAIN]) {
            let rules = table.rules.iter().flat_map(|rule| rule.sources.iter().chain([&rule.target]));
            let ignored = table.ignored.iter().map(|(pattern, _)| pattern);
            for pattern in rules.chain(ignored) {
                assert!(pattern.matches("{*}").count() <= 1, "{}: {pattern}", table.name);
            }
            for sign in table.signs.iter().copied().flatten() {
                assert!(!sign.contains("{*}"), "{}: {sign}", table.name);
            }
        }
    }
}
