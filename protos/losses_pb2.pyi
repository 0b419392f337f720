from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LossOptions(_message.Message):
    __slots__ = ("kmax",)
    KMAX_FIELD_NUMBER: _ClassVar[int]
    kmax: KMaxLossOptions
    def __init__(self, kmax: _Optional[_Union[KMaxLossOptions, _Mapping]] = ...) -> None: ...

class KMaxLossOptions(_message.Message):
    __slots__ = ("semantic_loss", "pq_style_loss", "mask_id_cross_entropy_loss", "instance_discrimination_loss")
    SEMANTIC_LOSS_FIELD_NUMBER: _ClassVar[int]
    PQ_STYLE_LOSS_FIELD_NUMBER: _ClassVar[int]
    MASK_ID_CROSS_ENTROPY_LOSS_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_DISCRIMINATION_LOSS_FIELD_NUMBER: _ClassVar[int]
    semantic_loss: SemanticLossOptions
    pq_style_loss: PQStyleLossOptions
    mask_id_cross_entropy_loss: MaskIdLossOptions
    instance_discrimination_loss: InstanceDiscriminationLossOptions
    def __init__(self, semantic_loss: _Optional[_Union[SemanticLossOptions, _Mapping]] = ..., pq_style_loss: _Optional[_Union[PQStyleLossOptions, _Mapping]] = ..., mask_id_cross_entropy_loss: _Optional[_Union[MaskIdLossOptions, _Mapping]] = ..., instance_discrimination_loss: _Optional[_Union[InstanceDiscriminationLossOptions, _Mapping]] = ...) -> None: ...

class SemanticLossOptions(_message.Message):
    __slots__ = ("weight", "top_k_percent", "semantic_sample_k", "semantic_sample_temperature")
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    TOP_K_PERCENT_FIELD_NUMBER: _ClassVar[int]
    SEMANTIC_SAMPLE_K_FIELD_NUMBER: _ClassVar[int]
    SEMANTIC_SAMPLE_TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    weight: float
    top_k_percent: float
    semantic_sample_k: int
    semantic_sample_temperature: float
    def __init__(self, weight: _Optional[float] = ..., top_k_percent: _Optional[float] = ..., semantic_sample_k: _Optional[int] = ..., semantic_sample_temperature: _Optional[float] = ...) -> None: ...

class PQStyleLossOptions(_message.Message):
    __slots__ = ("weight",)
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    weight: float
    def __init__(self, weight: _Optional[float] = ...) -> None: ...

class MaskIdLossOptions(_message.Message):
    __slots__ = ("weight", "top_k_percent")
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    TOP_K_PERCENT_FIELD_NUMBER: _ClassVar[int]
    weight: float
    top_k_percent: float
    def __init__(self, weight: _Optional[float] = ..., top_k_percent: _Optional[float] = ...) -> None: ...

class InstanceDiscriminationLossOptions(_message.Message):
    __slots__ = ("weight", "top_k_percent", "instance_discrimination_sample_k", "instance_discrimination_sample_temperature")
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    TOP_K_PERCENT_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_DISCRIMINATION_SAMPLE_K_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_DISCRIMINATION_SAMPLE_TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    weight: float
    top_k_percent: float
    instance_discrimination_sample_k: int
    instance_discrimination_sample_temperature: float
    def __init__(self, weight: _Optional[float] = ..., top_k_percent: _Optional[float] = ..., instance_discrimination_sample_k: _Optional[int] = ..., instance_discrimination_sample_temperature: _Optional[float] = ...) -> None: ...
