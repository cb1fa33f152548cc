//! The table of the zoo: what each network costs.

use ukulele_layers::{Module, Pass};

/// A network of the zoo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variant {
    /// As [`crate::ImageConfig::named`] or [`crate::BertConfig::named`] knows it.
    pub name: &'static str,
    /// Trained numbers, with the original's classes (1000; 10 for small images) and heads; of a model of text without, but with a pooler where it has one.
    pub parameters: usize,
    /// Multiplications of one input, without those of norms and activations.
    pub multiply_adds: u64,
    /// Side of the images that it learned from, or tokens of the text that is counted.
    pub input: usize,
    /// Whether it reads text.
    pub text: bool,
}

const fn image(name: &'static str, parameters: usize, multiply_adds: u64, input: usize) -> Variant {
    Variant { name, parameters, multiply_adds, input, text: false }
}

const fn text(name: &'static str, parameters: usize, multiply_adds: u64) -> Variant {
    Variant { name, parameters, multiply_adds, input: 128, text: true }
}

/// All networks with a name.
pub const ZOO: &[Variant] = &[
    image("resnet18", 11_689_512, 1_814_073_344, 224),
    image("resnet34", 21_797_672, 3_663_761_408, 224),
    image("resnet50", 25_557_032, 4_089_184_256, 224),
    image("resnet101", 44_549_160, 7_801_405_440, 224),
    image("resnet152", 60_192_808, 11_513_626_624, 224),
    image("wide_resnet50_2", 68_883_240, 11_398_021_120, 224),
    image("wide_resnet101_2", 126_886_696, 22_753_050_624, 224),
    image("resnext50_32x4d", 25_028_904, 4_230_479_872, 224),
    image("resnext101_32x8d", 88_791_336, 16_414_015_488, 224),
    image("resnext101_64x4d", 83_455_272, 15_460_270_080, 224),
    image("resnet26", 15_995_176, 2_342_256_640, 224),
    image("resnet18d", 11_708_744, 2_053_713_920, 224),
    image("resnet26d", 16_014_408, 2_581_897_216, 224),
    image("resnet34d", 21_816_904, 3_903_401_984, 224),
    image("resnet50c", 25_576_264, 4_328_824_832, 224),
    image("resnet50d", 25_576_264, 4_328_824_832, 224),
    image("resnet101d", 44_568_392, 8_041_046_016, 224),
    image("resnet152d", 60_212_040, 11_753_267_200, 224),
    image("resnet200d", 64_693_064, 15_247_122_432, 224),
    image("resnetv2_18", 11_687_720, 1_814_073_344, 224),
    image("resnetv2_34", 21_795_880, 3_663_761_408, 224),
    image("resnetv2_50", 25_549_352, 4_089_184_256, 224),
    image("resnetv2_101", 44_541_480, 7_801_405_440, 224),
    image("resnetv2_152", 60_185_128, 11_513_626_624, 224),
    image("resnetv2_50d", 25_568_584, 4_328_824_832, 224),
    image("resnet50v2", 25_568_360, 3_482_255_360, 224),
    image("resnet101v2", 44_577_896, 7_194_476_544, 224),
    image("resnet152v2", 60_236_904, 10_906_697_728, 224),
    image("vgg11", 132_863_336, 7_609_090_048, 224),
    image("vgg11_bn", 132_868_840, 7_609_090_048, 224),
    image("vgg13", 133_047_848, 11_308_466_176, 224),
    image("vgg13_bn", 133_053_736, 11_308_466_176, 224),
    image("vgg16", 138_357_544, 15_470_264_320, 224),
    image("vgg16_bn", 138_365_992, 15_470_264_320, 224),
    image("vgg19", 143_667_240, 19_632_062_464, 224),
    image("vgg19_bn", 143_678_248, 19_632_062_464, 224),
    image("inception_v3", 27_161_264, 5_713_216_096, 299),
    image("googlenet", 13_004_888, 1_498_376_192, 224),
    image("inception_v4", 42_679_816, 12_253_974_624, 299),
    image("inception_resnet_v1", 23_995_624, 1_418_174_304, 160),
    image("inception_resnet_v2", 55_843_464, 13_155_794_016, 299),
    image("cifar_resnet20", 269_722, 40_551_040, 32),
    image("cifar_resnet32", 464_154, 68_862_592, 32),
    image("cifar_resnet44", 658_586, 97_174_144, 32),
    image("cifar_resnet56", 853_018, 125_485_696, 32),
    image("cifar_resnet110", 1_727_962, 252_887_680, 32),
    text("bert_tiny", 4_385_920, 58_720_256),
    text("bert_mini", 11_170_560, 436_207_616),
    text("bert_small", 28_763_648, 1_677_721_600),
    text("bert_medium", 41_373_184, 3_355_443_200),
    text("bert_base", 109_482_240, 11_173_625_856),
    text("bert_base_cased", 108_310_272, 11_173_625_856),
    text("bert_base_multilingual", 177_853_440, 11_173_625_856),
    text("bert_large", 335_141_888, 39_460_012_032),
    text("bert_large_cased", 333_579_264, 39_460_012_032),
    text("minilm_l6", 22_713_216, 1_434_451_968),
    text("minilm_l12", 33_360_000, 2_868_903_936),
    text("roberta_base", 124_645_632, 11_173_625_856),
    text("roberta_large", 355_359_744, 39_460_012_032),
    text("xlm_roberta_base", 278_043_648, 11_173_625_856),
    text("distilbert_base", 66_362_880, 5_586_812_928),
    text("electra_small", 13_483_008, 1_312_817_152),
    text("electra_base", 108_891_648, 11_173_625_856),
    text("electra_large", 334_092_288, 39_460_012_032),
    text("albert_base", 11_683_584, 11_186_208_768),
    text("albert_large", 17_683_968, 39_476_789_248),
    text("albert_xlarge", 58_724_864, 156_262_989_824),
];

/// Multiplications of a forward pass that watched all of `net`: those of convolutions and dense layers. (Products within
/// attention have no weights and are not among them.)
pub fn multiply_adds(net: &mut impl Module, pass: &Pass) -> u64 {
    let mut total = 0;
    net.each("", &mut |name, param| {
        let shape = param.value.shape();
        let Some(layer) = name.strip_suffix(".weight").filter(|_| shape.len() >= 2) else { return };
        // A table of embeddings is looked up.
        if !name.ends_with("embeddings.weight") {
            // Layers that share their weights are gone through several times.
            let taps = pass.taps().iter().filter(|(tapped, _)| tapped == layer);
            let outputs: usize = taps.map(|(_, y)| y.numel()).sum();
            total += (outputs * param.value.numel() / shape[0].max(1)) as u64;
        }
    });
    total
}
