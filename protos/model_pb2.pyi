from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ModelOptions(_message.Message):
    __slots__ = ("initial_checkpoint", "pretrained_weights", "allow_missing", "resnet", "axial_resnet", "convnext", "kmax_pixel_decoder", "kmax_transformer_decoder", "dual_path_transformer", "mask_head", "semantic_head")
    INITIAL_CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    PRETRAINED_WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    ALLOW_MISSING_FIELD_NUMBER: _ClassVar[int]
    RESNET_FIELD_NUMBER: _ClassVar[int]
    AXIAL_RESNET_FIELD_NUMBER: _ClassVar[int]
    CONVNEXT_FIELD_NUMBER: _ClassVar[int]
    KMAX_PIXEL_DECODER_FIELD_NUMBER: _ClassVar[int]
    KMAX_TRANSFORMER_DECODER_FIELD_NUMBER: _ClassVar[int]
    DUAL_PATH_TRANSFORMER_FIELD_NUMBER: _ClassVar[int]
    MASK_HEAD_FIELD_NUMBER: _ClassVar[int]
    SEMANTIC_HEAD_FIELD_NUMBER: _ClassVar[int]
    initial_checkpoint: str
    pretrained_weights: str
    allow_missing: _containers.RepeatedScalarFieldContainer[str]
    resnet: ResNetOptions
    axial_resnet: AxialResNetOptions
    convnext: ConvNeXtOptions
    kmax_pixel_decoder: KMaxPixelDecoderOptions
    kmax_transformer_decoder: KMaxTransformerDecoderOptions
    dual_path_transformer: DualPathTransformerOptions
    mask_head: MaskHeadOptions
    semantic_head: SemanticHeadOptions
    def __init__(self, initial_checkpoint: _Optional[str] = ..., pretrained_weights: _Optional[str] = ..., allow_missing: _Optional[_Iterable[str]] = ..., resnet: _Optional[_Union[ResNetOptions, _Mapping]] = ..., axial_resnet: _Optional[_Union[AxialResNetOptions, _Mapping]] = ..., convnext: _Optional[_Union[ConvNeXtOptions, _Mapping]] = ..., kmax_pixel_decoder: _Optional[_Union[KMaxPixelDecoderOptions, _Mapping]] = ..., kmax_transformer_decoder: _Optional[_Union[KMaxTransformerDecoderOptions, _Mapping]] = ..., dual_path_transformer: _Optional[_Union[DualPathTransformerOptions, _Mapping]] = ..., mask_head: _Optional[_Union[MaskHeadOptions, _Mapping]] = ..., semantic_head: _Optional[_Union[SemanticHeadOptions, _Mapping]] = ...) -> None: ...

class ResNetOptions(_message.Message):
    __slots__ = ("variant", "depths", "widths", "stem_width", "drop_path_keep_prob")
    class Variant(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        RESNET_50: _ClassVar[ResNetOptions.Variant]
    RESNET_50: ResNetOptions.Variant
    VARIANT_FIELD_NUMBER: _ClassVar[int]
    DEPTHS_FIELD_NUMBER: _ClassVar[int]
    WIDTHS_FIELD_NUMBER: _ClassVar[int]
    STEM_WIDTH_FIELD_NUMBER: _ClassVar[int]
    DROP_PATH_KEEP_PROB_FIELD_NUMBER: _ClassVar[int]
    variant: ResNetOptions.Variant
    depths: _containers.RepeatedScalarFieldContainer[int]
    widths: _containers.RepeatedScalarFieldContainer[int]
    stem_width: int
    drop_path_keep_prob: float
    def __init__(self, variant: _Optional[_Union[ResNetOptions.Variant, str]] = ..., depths: _Optional[_Iterable[int]] = ..., widths: _Optional[_Iterable[int]] = ..., stem_width: _Optional[int] = ..., drop_path_keep_prob: _Optional[float] = ...) -> None: ...

class AxialResNetOptions(_message.Message):
    __slots__ = ("variant", "depths", "widths", "stem_width", "drop_path_keep_prob")
    class Variant(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        AXIAL_RESNET_50: _ClassVar[AxialResNetOptions.Variant]
    AXIAL_RESNET_50: AxialResNetOptions.Variant
    VARIANT_FIELD_NUMBER: _ClassVar[int]
    DEPTHS_FIELD_NUMBER: _ClassVar[int]
    WIDTHS_FIELD_NUMBER: _ClassVar[int]
    STEM_WIDTH_FIELD_NUMBER: _ClassVar[int]
    DROP_PATH_KEEP_PROB_FIELD_NUMBER: _ClassVar[int]
    variant: AxialResNetOptions.Variant
    depths: _containers.RepeatedScalarFieldContainer[int]
    widths: _containers.RepeatedScalarFieldContainer[int]
    stem_width: int
    drop_path_keep_prob: float
    def __init__(self, variant: _Optional[_Union[AxialResNetOptions.Variant, str]] = ..., depths: _Optional[_Iterable[int]] = ..., widths: _Optional[_Iterable[int]] = ..., stem_width: _Optional[int] = ..., drop_path_keep_prob: _Optional[float] = ...) -> None: ...

class ConvNeXtOptions(_message.Message):
    __slots__ = ("variant", "depths", "widths", "drop_path_keep_prob")
    class Variant(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        CONVNEXT_TINY: _ClassVar[ConvNeXtOptions.Variant]
        CONVNEXT_SMALL: _ClassVar[ConvNeXtOptions.Variant]
        CONVNEXT_BASE: _ClassVar[ConvNeXtOptions.Variant]
        CONVNEXT_LARGE: _ClassVar[ConvNeXtOptions.Variant]
        CONVNEXT_XLARGE: _ClassVar[ConvNeXtOptions.Variant]
    CONVNEXT_TINY: ConvNeXtOptions.Variant
    CONVNEXT_SMALL: ConvNeXtOptions.Variant
    CONVNEXT_BASE: ConvNeXtOptions.Variant
    CONVNEXT_LARGE: ConvNeXtOptions.Variant
    CONVNEXT_XLARGE: ConvNeXtOptions.Variant
    VARIANT_FIELD_NUMBER: _ClassVar[int]
    DEPTHS_FIELD_NUMBER: _ClassVar[int]
    WIDTHS_FIELD_NUMBER: _ClassVar[int]
    DROP_PATH_KEEP_PROB_FIELD_NUMBER: _ClassVar[int]
    variant: ConvNeXtOptions.Variant
    depths: _containers.RepeatedScalarFieldContainer[int]
    widths: _containers.RepeatedScalarFieldContainer[int]
    drop_path_keep_prob: float
    def __init__(self, variant: _Optional[_Union[ConvNeXtOptions.Variant, str]] = ..., depths: _Optional[_Iterable[int]] = ..., widths: _Optional[_Iterable[int]] = ..., drop_path_keep_prob: _Optional[float] = ...) -> None: ...

class DualPathTransformerOptions(_message.Message):
    __slots__ = ("variant", "num_mask_slots", "drop_path_keep_prob", "width_multiplier")
    class Variant(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        MAX_DEEPLAB_S: _ClassVar[DualPathTransformerOptions.Variant]
        MAX_DEEPLAB_L: _ClassVar[DualPathTransformerOptions.Variant]
    MAX_DEEPLAB_S: DualPathTransformerOptions.Variant
    MAX_DEEPLAB_L: DualPathTransformerOptions.Variant
    VARIANT_FIELD_NUMBER: _ClassVar[int]
    NUM_MASK_SLOTS_FIELD_NUMBER: _ClassVar[int]
    DROP_PATH_KEEP_PROB_FIELD_NUMBER: _ClassVar[int]
    WIDTH_MULTIPLIER_FIELD_NUMBER: _ClassVar[int]
    variant: DualPathTransformerOptions.Variant
    num_mask_slots: int
    drop_path_keep_prob: float
    width_multiplier: float
    def __init__(self, variant: _Optional[_Union[DualPathTransformerOptions.Variant, str]] = ..., num_mask_slots: _Optional[int] = ..., drop_path_keep_prob: _Optional[float] = ..., width_multiplier: _Optional[float] = ...) -> None: ...

class PixelDecoderStage(_message.Message):
    __slots__ = ("block_type", "width", "num_blocks")
    class BlockType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        BOTTLENECK: _ClassVar[PixelDecoderStage.BlockType]
        AXIAL: _ClassVar[PixelDecoderStage.BlockType]
    BOTTLENECK: PixelDecoderStage.BlockType
    AXIAL: PixelDecoderStage.BlockType
    BLOCK_TYPE_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    NUM_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    block_type: PixelDecoderStage.BlockType
    width: int
    num_blocks: int
    def __init__(self, block_type: _Optional[_Union[PixelDecoderStage.BlockType, str]] = ..., width: _Optional[int] = ..., num_blocks: _Optional[int] = ...) -> None: ...

class KMaxPixelDecoderOptions(_message.Message):
    __slots__ = ("stages",)
    STAGES_FIELD_NUMBER: _ClassVar[int]
    stages: _containers.RepeatedCompositeFieldContainer[PixelDecoderStage]
    def __init__(self, stages: _Optional[_Iterable[_Union[PixelDecoderStage, _Mapping]]] = ...) -> None: ...

class KMaxTransformerDecoderOptions(_message.Message):
    __slots__ = ("num_mask_slots", "num_layers", "width", "num_heads", "key_width", "feed_forward_width", "drop_path_keep_prob")
    NUM_MASK_SLOTS_FIELD_NUMBER: _ClassVar[int]
    NUM_LAYERS_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    NUM_HEADS_FIELD_NUMBER: _ClassVar[int]
    KEY_WIDTH_FIELD_NUMBER: _ClassVar[int]
    FEED_FORWARD_WIDTH_FIELD_NUMBER: _ClassVar[int]
    DROP_PATH_KEEP_PROB_FIELD_NUMBER: _ClassVar[int]
    num_mask_slots: int
    num_layers: _containers.RepeatedScalarFieldContainer[int]
    width: int
    num_heads: int
    key_width: int
    feed_forward_width: int
    drop_path_keep_prob: float
    def __init__(self, num_mask_slots: _Optional[int] = ..., num_layers: _Optional[_Iterable[int]] = ..., width: _Optional[int] = ..., num_heads: _Optional[int] = ..., key_width: _Optional[int] = ..., feed_forward_width: _Optional[int] = ..., drop_path_keep_prob: _Optional[float] = ...) -> None: ...

class MaskHeadOptions(_message.Message):
    __slots__ = ("head_channels", "output_channels", "mask_logit_gamma")
    HEAD_CHANNELS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_CHANNELS_FIELD_NUMBER: _ClassVar[int]
    MASK_LOGIT_GAMMA_FIELD_NUMBER: _ClassVar[int]
    head_channels: int
    output_channels: int
    mask_logit_gamma: float
    def __init__(self, head_channels: _Optional[int] = ..., output_channels: _Optional[int] = ..., mask_logit_gamma: _Optional[float] = ...) -> None: ...

class AuxiliaryLowLevel(_message.Message):
    __slots__ = ("feature_key", "channels_project")
    FEATURE_KEY_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_PROJECT_FIELD_NUMBER: _ClassVar[int]
    feature_key: str
    channels_project: int
    def __init__(self, feature_key: _Optional[str] = ..., channels_project: _Optional[int] = ...) -> None: ...

class SemanticDecoderOptions(_message.Message):
    __slots__ = ("aspp_channels", "decoder_channels", "atrous_rates", "auxiliary_low_level", "pooling")
    class Pooling(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        WHOLE_MAP: _ClassVar[SemanticDecoderOptions.Pooling]
        TRAIN_CROP: _ClassVar[SemanticDecoderOptions.Pooling]
    WHOLE_MAP: SemanticDecoderOptions.Pooling
    TRAIN_CROP: SemanticDecoderOptions.Pooling
    ASPP_CHANNELS_FIELD_NUMBER: _ClassVar[int]
    DECODER_CHANNELS_FIELD_NUMBER: _ClassVar[int]
    ATROUS_RATES_FIELD_NUMBER: _ClassVar[int]
    AUXILIARY_LOW_LEVEL_FIELD_NUMBER: _ClassVar[int]
    POOLING_FIELD_NUMBER: _ClassVar[int]
    aspp_channels: int
    decoder_channels: int
    atrous_rates: _containers.RepeatedScalarFieldContainer[int]
    auxiliary_low_level: _containers.RepeatedCompositeFieldContainer[AuxiliaryLowLevel]
    pooling: SemanticDecoderOptions.Pooling
    def __init__(self, aspp_channels: _Optional[int] = ..., decoder_channels: _Optional[int] = ..., atrous_rates: _Optional[_Iterable[int]] = ..., auxiliary_low_level: _Optional[_Iterable[_Union[AuxiliaryLowLevel, _Mapping]]] = ..., pooling: _Optional[_Union[SemanticDecoderOptions.Pooling, str]] = ...) -> None: ...

class SemanticHeadOptions(_message.Message):
    __slots__ = ("head_channels", "decoder")
    HEAD_CHANNELS_FIELD_NUMBER: _ClassVar[int]
    DECODER_FIELD_NUMBER: _ClassVar[int]
    head_channels: int
    decoder: SemanticDecoderOptions
    def __init__(self, head_channels: _Optional[int] = ..., decoder: _Optional[_Union[SemanticDecoderOptions, _Mapping]] = ...) -> None: ...
