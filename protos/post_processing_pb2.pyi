from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PostProcessingOptions(_message.Message):
    __slots__ = ("pixel_wise", "mask_wise", "thing_area_limit", "stuff_area_limit", "pixel_confidence_threshold")
    PIXEL_WISE_FIELD_NUMBER: _ClassVar[int]
    MASK_WISE_FIELD_NUMBER: _ClassVar[int]
    THING_AREA_LIMIT_FIELD_NUMBER: _ClassVar[int]
    STUFF_AREA_LIMIT_FIELD_NUMBER: _ClassVar[int]
    PIXEL_CONFIDENCE_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    pixel_wise: PixelWiseOptions
    mask_wise: MaskWiseOptions
    thing_area_limit: int
    stuff_area_limit: int
    pixel_confidence_threshold: float
    def __init__(self, pixel_wise: _Optional[_Union[PixelWiseOptions, _Mapping]] = ..., mask_wise: _Optional[_Union[MaskWiseOptions, _Mapping]] = ..., thing_area_limit: _Optional[int] = ..., stuff_area_limit: _Optional[int] = ..., pixel_confidence_threshold: _Optional[float] = ...) -> None: ...

class PixelWiseOptions(_message.Message):
    __slots__ = ("transformer_class_confidence_threshold",)
    TRANSFORMER_CLASS_CONFIDENCE_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    transformer_class_confidence_threshold: float
    def __init__(self, transformer_class_confidence_threshold: _Optional[float] = ...) -> None: ...

class MaskWiseOptions(_message.Message):
    __slots__ = ("transformer_class_confidence_threshold_thing", "transformer_class_confidence_threshold_stuff", "overlapping_threshold", "reorder_class_weight", "reorder_mask_weight")
    TRANSFORMER_CLASS_CONFIDENCE_THRESHOLD_THING_FIELD_NUMBER: _ClassVar[int]
    TRANSFORMER_CLASS_CONFIDENCE_THRESHOLD_STUFF_FIELD_NUMBER: _ClassVar[int]
    OVERLAPPING_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    REORDER_CLASS_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    REORDER_MASK_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    transformer_class_confidence_threshold_thing: float
    transformer_class_confidence_threshold_stuff: float
    overlapping_threshold: float
    reorder_class_weight: float
    reorder_mask_weight: float
    def __init__(self, transformer_class_confidence_threshold_thing: _Optional[float] = ..., transformer_class_confidence_threshold_stuff: _Optional[float] = ..., overlapping_threshold: _Optional[float] = ..., reorder_class_weight: _Optional[float] = ..., reorder_mask_weight: _Optional[float] = ...) -> None: ...
