"""Licence texts of the model files, with attribution and what was changed. Text only."""

from __future__ import annotations

_MIT_TERMS = """\
Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE."""

YUNET = f"""\
det_yunet.onnx: YuNet 2023mar, by Shiqi Yu and contributors (libfacedetection), from OpenCV Zoo.
Changed here: weights computed back from 8 bits to float32, batch and size made free, outputs rewritten as SCRFD's.

MIT License

Copyright (c) 2020 Shiqi Yu <shiqi.yu@gmail.com>

{_MIT_TERMS}"""

SFACE = """\
rec_sface.onnx: SFace 2021dec ("SFace: Sigmoid-Constrained Hypersphere Loss for Robust Face Recognition"), contributed
by Yaoyao Zhong, converted for OpenCV Zoo by Chengrui Wang.
Changed here: weights computed back from 8 bits to float32, batch made free.

Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
the License. You may obtain a copy of the License at

    https://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
"AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
specific language governing permissions and limitations under the License."""

DLIB = """\
dlib_resnet.onnx: dlib face recognition ResNet v1, by Davis E. King (dlib-models).
Changed here: the network drawn in ONNX, affine layers folded into the convolutions before them.

CC0 1.0 Universal. To the extent possible under law, the author has waived all copyright and related or neighbouring
rights to this work. The work is offered as it is, without warranties of any kind. Full text:
https://creativecommons.org/publicdomain/zero/1.0/legalcode"""

INSIGHTFACE = """\
InsightFace model zoo (https://github.com/deepinsight/insightface), by the InsightFace authors.

The code of InsightFace is released under the MIT License. The training data containing the annotation, and the models
trained with these data, are available for non-commercial research purposes only. Both manual and automatic downloads
of the models follow this licence.

By accepting you state that you use these files for non-commercial research only."""

STASH_SENSE = f"""\
facenet512.onnx, arcface.onnx: weights of DeepFace (FaceNet512 and ArcFace, https://github.com/serengil/deepface),
converted to ONNX and published by Stash Sense (https://github.com/carrotwaxr/stash-sense).
Both projects are under the MIT License; neither states terms of its own for the weights, and DeepFace points to the
licences of the projects that trained them.

MIT License

Copyright (c) 2019 Sefik Ilkin Serengil

{_MIT_TERMS}"""
