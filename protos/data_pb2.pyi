from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DatasetOptions(_message.Message):
    __slots__ = ("dataset_info", "file_pattern", "batch_size", "crop_size", "min_resize_value", "max_resize_value", "resize_factor", "augmentations", "increase_small_instance_weights", "small_instance_threshold", "small_instance_weight", "decode_groundtruth_label", "max_thing_id", "crowd_as_void", "task", "data_service", "max_bad_records")
    class Task(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        PANOPTIC: _ClassVar[DatasetOptions.Task]
        SEMANTIC: _ClassVar[DatasetOptions.Task]
        INSTANCE: _ClassVar[DatasetOptions.Task]
    PANOPTIC: DatasetOptions.Task
    SEMANTIC: DatasetOptions.Task
    INSTANCE: DatasetOptions.Task
    DATASET_INFO_FIELD_NUMBER: _ClassVar[int]
    FILE_PATTERN_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    CROP_SIZE_FIELD_NUMBER: _ClassVar[int]
    MIN_RESIZE_VALUE_FIELD_NUMBER: _ClassVar[int]
    MAX_RESIZE_VALUE_FIELD_NUMBER: _ClassVar[int]
    RESIZE_FACTOR_FIELD_NUMBER: _ClassVar[int]
    AUGMENTATIONS_FIELD_NUMBER: _ClassVar[int]
    INCREASE_SMALL_INSTANCE_WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    SMALL_INSTANCE_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    SMALL_INSTANCE_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    DECODE_GROUNDTRUTH_LABEL_FIELD_NUMBER: _ClassVar[int]
    MAX_THING_ID_FIELD_NUMBER: _ClassVar[int]
    CROWD_AS_VOID_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    DATA_SERVICE_FIELD_NUMBER: _ClassVar[int]
    MAX_BAD_RECORDS_FIELD_NUMBER: _ClassVar[int]
    dataset_info: str
    file_pattern: _containers.RepeatedScalarFieldContainer[str]
    batch_size: int
    crop_size: _containers.RepeatedScalarFieldContainer[int]
    min_resize_value: _containers.RepeatedScalarFieldContainer[int]
    max_resize_value: _containers.RepeatedScalarFieldContainer[int]
    resize_factor: int
    augmentations: AugmentationOptions
    increase_small_instance_weights: bool
    small_instance_threshold: int
    small_instance_weight: float
    decode_groundtruth_label: bool
    max_thing_id: int
    crowd_as_void: bool
    task: DatasetOptions.Task
    data_service: str
    max_bad_records: int
    def __init__(self, dataset_info: _Optional[str] = ..., file_pattern: _Optional[_Iterable[str]] = ..., batch_size: _Optional[int] = ..., crop_size: _Optional[_Iterable[int]] = ..., min_resize_value: _Optional[_Iterable[int]] = ..., max_resize_value: _Optional[_Iterable[int]] = ..., resize_factor: _Optional[int] = ..., augmentations: _Optional[_Union[AugmentationOptions, _Mapping]] = ..., increase_small_instance_weights: bool = ..., small_instance_threshold: _Optional[int] = ..., small_instance_weight: _Optional[float] = ..., decode_groundtruth_label: bool = ..., max_thing_id: _Optional[int] = ..., crowd_as_void: bool = ..., task: _Optional[_Union[DatasetOptions.Task, str]] = ..., data_service: _Optional[str] = ..., max_bad_records: _Optional[int] = ...) -> None: ...

class AugmentationOptions(_message.Message):
    __slots__ = ("min_scale_factor", "max_scale_factor", "scale_factor_step_size", "autoaugment_policy_name", "panoptic_copy_paste")
    class AutoAugmentPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        NO_POLICY: _ClassVar[AugmentationOptions.AutoAugmentPolicy]
        SIMPLE_CLASSIFICATION_POLICY: _ClassVar[AugmentationOptions.AutoAugmentPolicy]
        SIMPLE_CLASSIFICATION_POLICY_MAGNITUDE_SCALE_0_2: _ClassVar[AugmentationOptions.AutoAugmentPolicy]
    NO_POLICY: AugmentationOptions.AutoAugmentPolicy
    SIMPLE_CLASSIFICATION_POLICY: AugmentationOptions.AutoAugmentPolicy
    SIMPLE_CLASSIFICATION_POLICY_MAGNITUDE_SCALE_0_2: AugmentationOptions.AutoAugmentPolicy
    MIN_SCALE_FACTOR_FIELD_NUMBER: _ClassVar[int]
    MAX_SCALE_FACTOR_FIELD_NUMBER: _ClassVar[int]
    SCALE_FACTOR_STEP_SIZE_FIELD_NUMBER: _ClassVar[int]
    AUTOAUGMENT_POLICY_NAME_FIELD_NUMBER: _ClassVar[int]
    PANOPTIC_COPY_PASTE_FIELD_NUMBER: _ClassVar[int]
    min_scale_factor: float
    max_scale_factor: float
    scale_factor_step_size: float
    autoaugment_policy_name: AugmentationOptions.AutoAugmentPolicy
    panoptic_copy_paste: PanopticCopyPasteOptions
    def __init__(self, min_scale_factor: _Optional[float] = ..., max_scale_factor: _Optional[float] = ..., scale_factor_step_size: _Optional[float] = ..., autoaugment_policy_name: _Optional[_Union[AugmentationOptions.AutoAugmentPolicy, str]] = ..., panoptic_copy_paste: _Optional[_Union[PanopticCopyPasteOptions, _Mapping]] = ...) -> None: ...

class PanopticCopyPasteOptions(_message.Message):
    __slots__ = ("panoptic_copy_paste_scale", "panoptic_copy_paste_thing_option", "panoptic_copy_paste_stuff_option", "panoptic_copy_paste_void_option")
    class Choice(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        RANDOM: _ClassVar[PanopticCopyPasteOptions.Choice]
        NONE: _ClassVar[PanopticCopyPasteOptions.Choice]
        ALL: _ClassVar[PanopticCopyPasteOptions.Choice]
    RANDOM: PanopticCopyPasteOptions.Choice
    NONE: PanopticCopyPasteOptions.Choice
    ALL: PanopticCopyPasteOptions.Choice
    PANOPTIC_COPY_PASTE_SCALE_FIELD_NUMBER: _ClassVar[int]
    PANOPTIC_COPY_PASTE_THING_OPTION_FIELD_NUMBER: _ClassVar[int]
    PANOPTIC_COPY_PASTE_STUFF_OPTION_FIELD_NUMBER: _ClassVar[int]
    PANOPTIC_COPY_PASTE_VOID_OPTION_FIELD_NUMBER: _ClassVar[int]
    panoptic_copy_paste_scale: float
    panoptic_copy_paste_thing_option: PanopticCopyPasteOptions.Choice
    panoptic_copy_paste_stuff_option: PanopticCopyPasteOptions.Choice
    panoptic_copy_paste_void_option: PanopticCopyPasteOptions.Choice
    def __init__(self, panoptic_copy_paste_scale: _Optional[float] = ..., panoptic_copy_paste_thing_option: _Optional[_Union[PanopticCopyPasteOptions.Choice, str]] = ..., panoptic_copy_paste_stuff_option: _Optional[_Union[PanopticCopyPasteOptions.Choice, str]] = ..., panoptic_copy_paste_void_option: _Optional[_Union[PanopticCopyPasteOptions.Choice, str]] = ...) -> None: ...
