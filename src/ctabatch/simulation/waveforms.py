"""Waveforms of simulated images (R1), reduced to the pixels around the shower as DL0 is."""

import astropy.units as u
import numpy as np
from ctapipe.containers import EventType, PixelStatus, R1CameraContainer
from ctapipe.image import dilate, tailcuts_clean
from ctapipe.image.toymodel import WaveformModel

#: Pixels above the first charge, or above the second beside one of the first, count as signal (p.e.).
#: Below the cleaning of ``config/pipeline/process.yaml``, so that reduction changes no cleaned image.
PICTURE, BOUNDARY = 4.0, 2.0
#: Rows of pixels around the signal that are kept, too.
ROWS = 1

#: Range of a sample, p.e. a ns: beyond it the readout saturates. It fits into 16 bits of 0.1 p.e. a ns.
LOWEST, HIGHEST = -20.0, 6500.0

_STORED = np.uint8(PixelStatus.HIGH_GAIN_STORED)
_SIGNAL, _AROUND = np.uint8(3), np.uint8(2)


class WaveformMaker:
    """Turns images with peak times into waveforms of one type of camera.

    The pulse of each pixel is the camera's reference pulse with the pixel's charge as integral, at its
    peak time, sampled by ctapipe's `WaveformModel`. The image contains night-sky light and noise
    already: nothing is added. Pixels away from the signal are set to zero, as data volume reduction
    does; they count as read out, because ctapipe would replace a pixel that is not by its neighbours.

    Parameters
    ----------
    camera : ctapipe.instrument.CameraDescription
        Geometry and readout.
    """

    def __init__(self, camera):
        self.geometry, self.readout = camera.geometry, camera.readout
        self.model = WaveformModel.from_camera_readout(camera.readout)
        # ctapipe takes the number of a sample for its time, but the sample that is counted as t
        # reaches from t to t + 1: pulses come half a sample later, so that the times found are right.
        self._shift = 0.5 / camera.readout.sampling_rate.to_value(u.GHz)
        self._pulses = self._sample_pulses()

    def _sample_pulses(self):
        """Sample the pulse of one p.e. at each step of the model, shape (steps, 3 x samples).

        The pulse is a convolution, so that all others follow from these by shift and factor: this is
        a hundred times faster than a call of the model for each image.
        """
        steps, samples = self.model.upsampling, self.readout.n_samples
        time = (int(1.5 * samples) * steps + np.arange(steps) + 0.5) * self.model.ref_width_ns
        self._middle = int(1.5 * samples)
        return self.model.get_waveform(np.ones(steps), time, 3 * samples)[0]

    def waveforms(self, charge, time):
        """Sample pulses; the same as `WaveformModel.get_waveform` of one channel.

        Parameters
        ----------
        charge, time : numpy.ndarray
            Charge in p.e. and time in ns from the start of the readout, shape (pixels,).

        Returns
        -------
        numpy.ndarray
            Shape (pixels, samples), p.e. / ns.
        """
        steps, samples = self.model.upsampling, self.readout.n_samples
        step = (np.asarray(time) / self.model.ref_width_ns).astype(np.int64)
        inside = (step >= 0) & (step < steps * samples)
        sample, phase = np.divmod(np.where(inside, step, 0), steps)
        place = np.arange(samples)[None, :] + (self._middle - sample)[:, None]
        return self._pulses[phase[:, None], place] * np.where(inside, charge, 0)[:, None]

    def kept(self, image):
        """Find the pixels that are kept.

        Parameters
        ----------
        image : numpy.ndarray
            Charge, p.e., shape (pixels,).

        Returns
        -------
        signal, kept : numpy.ndarray
            Masks, shape (pixels,).
        """
        signal = tailcuts_clean(
            self.geometry, image, picture_thresh=PICTURE, boundary_thresh=BOUNDARY,
            keep_isolated_pixels=True,
        )  # fmt: skip
        kept = signal
        for _ in range(ROWS):
            kept = dilate(self.geometry, kept)
        return signal, kept

    def make(self, image, peak_time, time) -> R1CameraContainer:
        """Make the waveforms of an image.

        Parameters
        ----------
        image : numpy.ndarray
            Charge, p.e., shape (pixels,).
        peak_time : numpy.ndarray
            In ns from the start of the readout, shape (pixels,).
        time : astropy.time.Time
            Time of the event.
        """
        signal, kept = self.kept(image)
        waveform = np.zeros((1, len(image), self.readout.n_samples), np.float32)
        if kept.any():
            waveform[0, kept] = self.waveforms(image[kept], peak_time[kept] + self._shift)
        status = np.full(len(image), _STORED)
        status[(waveform[0] > HIGHEST).any(axis=1)] |= np.uint8(PixelStatus.SATURATED)
        np.clip(waveform, LOWEST, HIGHEST, out=waveform)
        status[kept] |= _AROUND
        status[signal] |= _SIGNAL
        return R1CameraContainer(
            event_type=EventType.SUBARRAY,
            event_time=time,
            waveform=waveform,
            pixel_status=status,
            selected_gain_channel=np.zeros(len(image), np.int8),
        )
